import { byteRange, namesTag } from './byte-range.js';

it.each([
  [undefined, undefined],
  ['bytes=0-0', { start: 0, end: 0 }],
  ['bytes=9-', { start: 9, end: 9 }],
  ['bytes=-3', { start: 7, end: 9 }],
  ['bytes=-30', { start: 0, end: 9 }],
  ['bytes=2-30', { start: 2, end: 9 }],
  ['bytes=10-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=5-4', undefined],
  ['bytes=1-2,4-5', undefined],
  ['bytes=1e1-', undefined],
  ['chars=0-1', undefined],
])('the range %s of ten bytes', (header, expected) => {
  expect(byteRange(header, 10)).toEqual(expected);
});

it('nothing has no ranges', () => {
  expect(byteRange('bytes=0-', 0)).toBe('unsatisfiable');
  expect(byteRange('bytes=-1', 0)).toBe('unsatisfiable');
});

it.each([
  ['"a"', true, true],
  ['W/"a"', false, true],
  ['"b", "a"', true, true],
  ['"b"', false, false],
  ['*', true, true],
  ['a', false, false],
])('the tags %s', (header, strong, weak) => {
  expect(namesTag(header, '"a"', 'strong')).toBe(strong);
  expect(namesTag(header, '"a"', 'weak')).toBe(weak);
});

import { preferenceOf } from './long-call.js';

it.each([
  [undefined, { waitMs: Infinity }],
  ['', { waitMs: Infinity }],
  ['return=minimal', { waitMs: Infinity }],
  ['respond-async', { waitMs: 0, applied: 'respond-async' }],
  ['Respond-Async; foo', { waitMs: 0, applied: 'respond-async' }],
  ['handling=lenient, respond-async', { waitMs: 0, applied: 'respond-async' }],
  [['handling=lenient', 'respond-async'], { waitMs: 0, applied: 'respond-async' }],
  ['respond-async, wait=5', { waitMs: 5_000, applied: 'respond-async, wait=5' }],
  ['wait=5', { waitMs: 5_000, applied: 'wait=5' }],
  ['wait=soon', { waitMs: Infinity }],
])('reads Prefer: %j', (header, expected) => {
  expect(preferenceOf(header)).toEqual(expected);
});

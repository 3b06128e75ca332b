import { bindingFingerprint, instanceFingerprint } from './fingerprint.js';

describe('the fingerprint of an instance', () => {
  const of = (parameters: Parameters<typeof instanceFingerprint>[2]) => instanceFingerprint('s', 'p', parameters);

  it('takes a list of extensions for a set, and an empty one for none', () => {
    expect(of({ extensions: ['a', 'b'] })).toBe(of({ extensions: ['b', 'a'] }));
    expect(of({ extensions: [] })).toBe(of({}));
    expect(of({ extensions: ['a'] })).not.toBe(of({}));
  });

  it('does not depend on the order of keys', () => {
    expect(of({ locale: 'de', extensions: ['a'] })).toBe(of({ extensions: ['a'], locale: 'de' }));
  });

  it('depends on service, plan and each parameter', () => {
    const all = [
      instanceFingerprint('s', 'p', {}),
      instanceFingerprint('s2', 'p', {}),
      instanceFingerprint('s', 'p2', {}),
      instanceFingerprint('sp', '', {}),
      of({ locale: 'de' }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('the fingerprint of a binding', () => {
  it('takes the default access for the one that is named', () => {
    expect(bindingFingerprint({}, {}, null)).toBe(bindingFingerprint({ access: 'read-write' }, {}, null));
    expect(bindingFingerprint({}, {}, null)).not.toBe(bindingFingerprint({ access: 'read-only' }, {}, null));
  });

  it('depends on the resource, in whatever order its keys are, and on the predecessor', () => {
    expect(bindingFingerprint({}, { a: 1, b: { c: 2, d: 3 } }, null)).toBe(
      bindingFingerprint({}, { b: { d: 3, c: 2 }, a: 1 }, null),
    );
    expect(bindingFingerprint({}, { a: 1 }, null)).not.toBe(bindingFingerprint({}, { a: [1] }, null));
    expect(bindingFingerprint({}, {}, 'p')).not.toBe(bindingFingerprint({}, {}, null));
    expect(bindingFingerprint({}, { a: { b: 1 } }, null)).not.toBe(bindingFingerprint({}, { a: [['b', 1]] }, null));
  });
});

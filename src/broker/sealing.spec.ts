import { randomBytes } from 'node:crypto';
import { type BrokerConfig } from '../config/schema.js';
import { Secret } from '../config/secret.js';
import { BrokerError } from '../errors.js';
import { Sealing } from './sealing.js';

const key = (id: string) => ({ id, secret: new Secret(randomBytes(32).toString('base64')) });
const sealingWith = (...keys: ReturnType<typeof key>[]) =>
  new Sealing({ state: { encryption_keys: keys } } as unknown as BrokerConfig);

describe('sealing', () => {
  const [first, second] = [key('first'), key('second')];

  it('opens what it has sealed, and seals the same text differently each time', () => {
    const sealing = sealingWith(first);
    const sealed = sealing.seal('päss', 'i', 'b');
    expect(sealing.open(sealed, 'i', 'b')).toBe('päss');
    expect(sealed).toMatch(/^first(\.[A-Za-z0-9_-]+){3}$/);
    expect(sealing.seal('päss', 'i', 'b')).not.toBe(sealed);
  });

  it('encrypts with the first key and opens with each', () => {
    const old = sealingWith(first).seal('text', 'i', 'b');
    const rotated = sealingWith(second, first);
    expect(rotated.open(old, 'i', 'b')).toBe('text');
    expect(rotated.seal('text', 'i', 'b')).toMatch(/^second\./);
  });

  it('does not open without its key, and names that key', () => {
    const sealed = sealingWith(first).seal('text', 'i', 'b');
    expect(() => sealingWith(second).open(sealed, 'i', 'b')).toThrow(
      new BrokerError('encryption_key', 'no encryption key of the id first is configured (state.encryption_keys)'),
    );
    expect(sealingWith(second).missing(['first', 'second'])).toEqual(['first']);
  });

  it.each([
    ['of another binding', 'i', 'c'],
    ['of another instance', 'j', 'b'],
    ['whose ids only join to the same text', 'i","b', ''],
  ])('does not open what is %s', (_what, instance, binding) => {
    const sealing = sealingWith(first);
    const sealed = sealing.seal('text', instance, binding);
    expect(() => sealing.open(sealed, 'i', 'b')).toThrow();
  });

  it('does not open what was changed', () => {
    const sealing = sealingWith(first);
    const [id, iv, text, tag = ''] = sealing.seal('text', 'i', 'b').split('.');
    const changed = Buffer.from(tag, 'base64url').map((byte) => byte ^ 1);
    expect(() =>
      sealing.open([id, iv, text, Buffer.from(changed).toString('base64url')].join('.'), 'i', 'b'),
    ).toThrow();
    expect(() => sealing.open([id, iv, text, tag.slice(0, 8)].join('.'), 'i', 'b')).toThrow();
    expect(() => sealing.open([id, iv, text].join('.'), 'i', 'b')).toThrow();
  });
});

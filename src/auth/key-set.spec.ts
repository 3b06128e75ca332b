import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { errors, exportJWK, jwtVerify, SignJWT } from 'jose';
import { type ControllerClient } from './controller-client.js';
import { KeySet } from './key-set.js';

const MINUTE = 60_000;
const keys = ['a', 'b', 'c'].map((kid) => ({ kid, ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }));
let served: { kid: string; publicKey: KeyObject }[];
let fetched: number;
let time: number;
let keySet: KeySet;

beforeEach(() => {
  served = keys.slice(0, 1);
  fetched = 0;
  time = 0;
  const client = {
    json: async () => {
      fetched += 1;
      return {
        keys: await Promise.all(served.map(async (key) => ({ ...(await exportJWK(key.publicKey)), kid: key.kid }))),
      };
    },
  };
  keySet = new KeySet('https://uaa.example.org/token_keys', client as unknown as ControllerClient, () => time);
});

async function verified(kid: string | undefined, signedBy = kid): Promise<boolean> {
  const key = keys.find((each) => each.kid === signedBy) ?? keys[0];
  const token = await new SignJWT({})
    .setProtectedHeader({ alg: 'RS256', ...(kid && { kid }) })
    .sign(key?.privateKey as KeyObject);
  try {
    await jwtVerify(token, keySet.find);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(errors.JWKSNoMatchingKey);
    return false;
  }
}

it('fetches the keys when the first token comes', async () => {
  expect(fetched).toBe(0);
  expect(await verified('a')).toBe(true);
  expect(await verified('a')).toBe(true);
  expect(fetched).toBe(1);
});

it('finds a key that was made since, and forgets those that were given up', async () => {
  await verified('a');
  served = keys.slice(1, 2);
  expect(await verified('b')).toBe(true);
  expect(await verified('a')).toBe(false);
});

it('fetches them again for unknown keys at most once a minute', async () => {
  for (let n = 0; n < 10; n++) expect(await verified(`unknown-${n}`, 'a')).toBe(false);
  expect(fetched).toBe(2);
  served = keys;
  time = MINUTE - 1;
  expect(await verified('b')).toBe(false);
  time = MINUTE;
  expect(await verified('b')).toBe(true);
  expect(fetched).toBe(3);
});

it('takes no token that names no key, though there is only one', async () => {
  expect(await verified(undefined, 'a')).toBe(false);
});

it.each([null, {}, { keys: 'none' }, { keys: [1] }])('says that keys cannot be used: %j', async (document) => {
  const client = { json: () => Promise.resolve(document) } as unknown as ControllerClient;
  const broken = new KeySet('https://uaa.example.org/token_keys', client, () => 0);
  await expect(broken.find({ alg: 'RS256', kid: 'a' }, { payload: '', signature: '' })).rejects.toMatchObject({
    code: 'controller_unreachable',
  });
});

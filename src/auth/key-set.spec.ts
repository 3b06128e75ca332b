import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { errors, exportJWK, jwtVerify, SignJWT } from 'jose';
import { type ControllerClient, unreachable } from './controller-client.js';
import { KeySet } from './key-set.js';

const MINUTE = 60_000;
const PAUSE = 1_000;
const URL = 'https://uaa.example.org/token_keys';
const keys = ['a', 'b', 'c'].map((kid) => ({ kid, ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }));
let served: { kid: string; publicKey: KeyObject }[];
let down: boolean;
/** The answer waits for it. */
let held: Promise<unknown>;
let fetched: number;
let time: number;
let keySet: KeySet;

beforeEach(() => {
  served = keys.slice(0, 1);
  down = false;
  held = Promise.resolve();
  fetched = 0;
  time = 0;
  const client = {
    json: async () => {
      fetched += 1;
      await held;
      if (down) throw unreachable(URL, 'status 503');
      return {
        keys: await Promise.all(served.map(async (key) => ({ ...(await exportJWK(key.publicKey)), kid: key.kid }))),
      };
    },
  };
  keySet = new KeySet(URL, client as unknown as ControllerClient, () => time);
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
    if (error instanceof errors.JWKSNoMatchingKey) return false;
    throw error;
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

it('lets all who come at once with a key that was just made wait for the same fetch', async () => {
  await verified('a');
  served = keys;
  held = setImmediate();
  const found = await Promise.allSettled(
    ['b', 'c', 'b'].map((kid) => keySet.find({ alg: 'RS256', kid }, { payload: '', signature: '' })),
  );
  expect(found.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
  expect(fetched).toBe(2);
});

it('refuses no token while a new key cannot be fetched, and asks again after a pause', async () => {
  await verified('a');
  served = keys;
  down = true;
  const tryAgain = { code: 'controller_unreachable' };
  const both = await Promise.allSettled([verified('b'), verified('b')]);
  expect(both).toMatchObject([{ reason: tryAgain }, { reason: tryAgain }]);
  down = false;
  time = PAUSE - 1;
  await expect(verified('b')).rejects.toMatchObject(tryAgain);
  expect(await verified('a')).toBe(true);
  expect(fetched).toBe(2);
  time = PAUSE;
  expect(await verified('b')).toBe(true);
  expect(fetched).toBe(3);
});

it('takes no token that names no key, though there is only one', async () => {
  expect(await verified(undefined, 'a')).toBe(false);
});

it.each([null, {}, { keys: 'none' }, { keys: [1] }])('says that keys cannot be used: %j', async (document) => {
  const client = { json: () => Promise.resolve(document) } as unknown as ControllerClient;
  const broken = new KeySet(URL, client, () => 0);
  await expect(broken.find({ alg: 'RS256', kid: 'a' }, { payload: '', signature: '' })).rejects.toMatchObject({
    code: 'controller_unreachable',
  });
});

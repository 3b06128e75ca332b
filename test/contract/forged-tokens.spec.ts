import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { exportJWK, exportSPKI, type JWTPayload, SignJWT } from 'jose';
import { type Call } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Cloud, startCloud } from '../support/users.js';

let cluster: Cluster;
let cloud: Cloud;
let guid: string;
let genuine: string;
/** A server of somebody who has made keys of their own. */
let foreign: { server: Server; url: string; asked: number; keys: { privateKey: KeyObject; publicKey: KeyObject } };

beforeAll(async () => {
  cluster = await startCluster();
  cloud = await startCloud(cluster, { config: { log: { level: 'error' } } });
  guid = await cloud.instance('my-db');
  genuine = await cloud.controller.token(developer());
  foreign = await startForeign();
});

afterAll(async () => {
  foreign?.server.close();
  await cloud?.end();
  await cluster?.remove();
});

const developer = () => cloud.controller.world.users.developer;
const uaa = () => cloud.controller.uaa;
const claims = (more: JWTPayload = {}) => uaa().claims(developer(), { claims: more });
const now = () => Math.floor(Date.now() / 1000);

async function startForeign(): Promise<typeof foreign> {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const made = { server: createServer(), url: '', asked: 0, keys };
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'foreign', alg: 'RS256', use: 'sig' };
  made.server.on('request', (_request, response) => {
    made.asked += 1;
    response.end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => made.server.listen(0, '127.0.0.1', resolve));
  made.url = `http://127.0.0.1:${(made.server.address() as AddressInfo).port}`;
  return made;
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function parts(token: string): [string, string, string] {
  return token.split('.') as [string, string, string];
}

/** Signed by the UAA's own key with another algorithm. */
function signedAs(alg: string): Promise<string> {
  const { kid, privateKey } = uaa().signingKey;
  return new SignJWT(claims()).setProtectedHeader({ alg, kid, typ: 'JWT' }).sign(privateKey);
}

function signedByForeigner(header: Record<string, unknown>): Promise<string> {
  return new SignJWT(claims())
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', ...header })
    .sign(foreign.keys.privateKey);
}

async function hs256(secret: string | Buffer): Promise<string> {
  const content = `${encoded({ alg: 'HS256', typ: 'JWT', kid: uaa().signingKey.kid })}.${encoded(claims())}`;
  return Promise.resolve(`${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`);
}

const jku = () => `${foreign.url}/token_keys`;
const unsigned = (alg: string) => Promise.resolve(`${encoded({ alg, typ: 'JWT' })}.${encoded(claims())}.`);
const without = (name: string) => uaa().sign(claims({ [name]: undefined }));

const FORGED: Record<string, () => Promise<string>> = {
  'algorithm none': () => unsigned('none'),
  'algorithm None': () => unsigned('None'),
  'algorithm none with a signature': () => {
    const [, payload, signature] = parts(genuine);
    return Promise.resolve(`${encoded({ alg: 'none', kid: uaa().signingKey.kid })}.${payload}.${signature}`);
  },
  'HS256 with the public key as PEM': async () => hs256(await exportSPKI(uaa().signingKey.publicKey)),
  'HS256 with the public key as DER': () => hs256(uaa().signingKey.publicKey.export({ type: 'spki', format: 'der' })),
  'HS256 with the public key as JWK': async () => hs256(JSON.stringify(await exportJWK(uaa().signingKey.publicKey))),
  'HS256 with an empty secret': () => hs256(''),
  RS384: () => signedAs('RS384'),
  RS512: () => signedAs('RS512'),
  PS256: () => signedAs('PS256'),
  'a jku of its own': () => signedByForeigner({ kid: 'foreign', jku: jku() }),
  'a jku of its own and the kid of the UAA': () => signedByForeigner({ kid: uaa().signingKey.kid, jku: jku() }),
  'a jwk of its own': async () => signedByForeigner({ kid: 'foreign', jwk: await exportJWK(foreign.keys.publicKey) }),
  'an x5u of its own': () => signedByForeigner({ kid: 'foreign', x5u: `${foreign.url}/certificate` }),
  'no kid': () => uaa().sign(claims(), { kid: undefined }),
  'a kid that is a number': () => uaa().sign(claims(), { kid: 1 }),
  'a kid that is a list': () => uaa().sign(claims(), { kid: [uaa().signingKey.kid] }),
  'a kid that is a path': () => signedByForeigner({ kid: '../../../../../../dev/null' }),
  'a kid that is SQL': () => signedByForeigner({ kid: `x' UNION SELECT 'secret' --` }),
  'a kid that is an address': () => signedByForeigner({ kid: jku() }),
  'a kid of an object': () => uaa().sign(claims(), { kid: '__proto__' }),
  'another issuer': () => uaa().sign(claims({ iss: 'https://uaa.example.org/oauth/token' })),
  'an issuer that begins alike': () => uaa().sign(claims({ iss: `${uaa().issuer}/x` })),
  'no issuer': () => without('iss'),
  'another audience': () => uaa().sign(claims({ aud: ['cloud_controller_service_permissions', 'openid'] })),
  'an audience that begins alike': () => uaa().sign(claims({ aud: 'cloud_controller.read' })),
  'no audience': () => without('aud'),
  expired: () => uaa().sign(claims({ iat: now() - 700, exp: now() - 1 })),
  'no expiry': () => without('exp'),
  'an expiry that is a text': () => uaa().sign({ ...claims(), exp: '9999999999' as unknown as number }),
  'not yet valid': () => uaa().sign(claims({ nbf: now() + 300 })),
  'a refresh token': () => uaa().refreshToken(developer()),
  'no jti': () => without('jti'),
  'no subject': () => without('sub'),
  'cut in its signature': () => Promise.resolve(genuine.slice(0, -20)),
  'without its signature': () => Promise.resolve(parts(genuine).slice(0, 2).join('.')),
  'with an empty signature': () => Promise.resolve(`${parts(genuine).slice(0, 2).join('.')}.`),
  'with more after its end': () => Promise.resolve(`${genuine}.${parts(genuine)[2]}`),
  'of five parts': () => Promise.resolve('eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d'),
  'another payload': () => {
    const [header, , signature] = parts(genuine);
    const { guid: user_id, name } = cloud.controller.world.users.admin;
    return Promise.resolve(`${header}.${encoded(claims({ user_id, user_name: name }))}.${signature}`);
  },
  'another header': () => {
    const [, payload, signature] = parts(genuine);
    return Promise.resolve(`${encoded({ alg: 'RS256', kid: uaa().signingKey.kid })}.${payload}.${signature}`);
  },
  'the key of somebody else': () => signedByForeigner({ kid: uaa().signingKey.kid }),
  'a critical header that nobody knows': () => signedCritical({ crit: ['exp'], exp: now() + 60 }),
  'an unencoded payload': () => signedCritical({ crit: ['b64'], b64: false }),
  'a user name with a line break': () => uaa().sign(claims({ user_name: 'developer\nadmin' })),
  'no JSON': () => Promise.resolve('a.b.c'),
  'a password': () => Promise.resolve(cloud.broker.home.admin.password),
};

/** By the UAA's key; the header is put in by hand, as no library would write it. */
async function signedCritical(header: Record<string, unknown>): Promise<string> {
  const { sign } = await import('node:crypto');
  const { kid, privateKey } = uaa().signingKey;
  const content = `${encoded({ alg: 'RS256', typ: 'JWT', kid, ...header })}.${encoded(claims())}`;
  return `${content}.${sign('sha256', Buffer.from(content), privateKey).toString('base64url')}`;
}

const ask = (call: Call) => cloud.broker.admin.as(undefined).get(`/backups/${guid}`, call);
const asked = () => cloud.controller.faults.asked(/permissions/);

async function expectRefused(call: Call, status = 401): Promise<void> {
  const before = asked();
  const answer = await ask(call);
  expect({ status: answer.status, body: answer.body }).toMatchObject({
    status,
    body: { code: status === 401 ? 'unauthenticated' : 'headers_too_large' },
  });
  if (status === 401)
    expect(answer.headers['www-authenticate']).toMatch(/^Basic realm="admin", charset="UTF-8", Bearer realm="admin"/);
  expect(asked()).toBe(before);
}

it('takes the token as cf writes it, whatever the case of the scheme', async () => {
  for (const scheme of ['bearer', 'Bearer', 'BEARER'])
    expect((await ask({ headers: { authorization: `${scheme} ${genuine}` } })).status).toBe(200);
});

it.each(Object.keys(FORGED))('refuses a token: %s', async (what) => {
  await expectRefused({ headers: { authorization: `bearer ${await FORGED[what]?.()}` } });
  expect(foreign.asked).toBe(0);
});

it('refuses two of them, or one that is not alone', async () => {
  const other = await cloud.controller.token(developer());
  for (const headers of [
    { authorization: [`bearer ${genuine}`, `bearer ${other}`] },
    { authorization: [`bearer ${genuine}`, 'Basic YTpi'] },
    { authorization: ['Basic YTpi', `bearer ${genuine}`] },
    { authorization: `bearer ${genuine} ${other}` },
    { authorization: `bearer ${genuine}, bearer ${other}` },
    { authorization: `bearer ${genuine}, Basic YTpi` },
  ])
    await expectRefused({ headers });
});

it('refuses what is no token at all', async () => {
  for (const authorization of ['bearer', 'bearer ', `bearer${genuine}`, genuine, `token ${genuine}`, 'bearer \t'])
    await expectRefused({ headers: { authorization } });
});

it('takes none from the query, a cookie or a body', async () => {
  await expectRefused({ query: { access_token: genuine }, headers: { cookie: `token=${genuine}` } });
});

it('refuses headers over 16 KiB before anything is looked at', async () => {
  await expectRefused({ headers: { authorization: `bearer ${genuine}${'a'.repeat(16 * 1024)}` } }, 431);
});

it('takes none for the platform', async () => {
  const answer = await cloud.broker.platform.as(undefined).get('/v2/catalog', {
    headers: { authorization: `bearer ${genuine}` },
  });
  expect(answer.status).toBe(401);
  expect(answer.headers['www-authenticate']).toBe('Basic realm="platform", charset="UTF-8"');
});

it('fetches the keys again at most once a minute for keys that it does not know', async () => {
  const { faults } = cloud.controller;
  const before = faults.asked(/token_keys/);
  for (let count = 0; count < 20; count++)
    await expectRefused({ headers: { authorization: `bearer ${await signedByForeigner({ kid: `k${count}` })}` } });
  expect(faults.asked(/token_keys/) - before).toBeLessThanOrEqual(1);
});

import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { exportJWK, SignJWT } from 'jose';
import { Authenticator } from '../../../src/auth/authenticator.js';
import { Callers } from '../../../src/auth/callers.js';
import { ControllerClient } from '../../../src/auth/controller-client.js';
import { InstancePermissions } from '../../../src/auth/instance-permissions.js';
import { TokenIssuer } from '../../../src/auth/token-issuer.js';
import { UserTokens } from '../../../src/auth/user-tokens.js';
import { type BrokerConfig } from '../../../src/config/schema.js';
import { Secret } from '../../../src/config/secret.js';
import { drawCertificate } from '../../support/certificate.js';
import { type CloudController, startCloudController } from '../../support/cloud-controller.js';
import { type Fault } from '../../support/cloud-controller-faults.js';
import { until } from '../../support/until.js';

let controller: CloudController;
/** Says yes to everything; redirects lead there. */
let tempter: { server: Server; url: string; asked: number };
let guid: string;
let token: string;

beforeAll(async () => {
  controller = await startCloudController();
  ({ guid } = controller.world.addInstance());
  token = await controller.token(controller.world.users.developer);
  tempter = { server: createServer(), url: '', asked: 0 };
  tempter.server.on('request', (_request, response) => {
    tempter.asked += 1;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ read: true, manage: true }));
  });
  await new Promise<void>((resolve) => tempter.server.listen(0, '127.0.0.1', resolve));
  tempter.url = `http://127.0.0.1:${(tempter.server.address() as AddressInfo).port}`;
});

afterEach(() => controller.faults.heal());

afterAll(async () => {
  tempter.server.close();
  await controller.close();
});

function callersFor(cloud_controller: object): Callers {
  const config = {
    platform: { credentials: [] },
    admin: { credentials: [{ username: 'admin', password: new Secret('the password') }] },
    cloud_controller,
  } as unknown as BrokerConfig;
  const client = new ControllerClient(config);
  const tokens = new UserTokens(new TokenIssuer(client));
  return new Callers(new Authenticator(config), client, tokens, new InstancePermissions(client));
}

/** What becomes of a call with the developer's token, from the very beginning. */
async function outcome(callers = callersFor({ url: controller.url })): Promise<string> {
  try {
    const { rights } = await callers.identify('admin', [`bearer ${token}`], '127.0.0.1');
    await rights.assert('manage', guid);
    return 'admitted';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const PLACES = {
  'the root document': /^\/$/,
  discovery: /openid/,
  'the keys': /token_keys/,
  permissions: /permissions/,
};

const answers = (status: number, body: string | object, headers = {}): Fault => ({
  kind: 'answers',
  status,
  body,
  headers,
});
const FAULTS: [string, () => Fault][] = [
  ['hangs', () => ({ kind: 'hangs' })],
  ['is cut off', () => ({ kind: 'cut' })],
  ['answers 101', () => ({ kind: 'switches' })],
  ['answers 500', () => answers(500, { errors: [{ code: 10001 }] })],
  ['answers 503 with a good body', () => answers(503, { read: true, manage: true })],
  ['redirects', () => ({ kind: 'redirects', to: tempter.url })],
  ['answers 404 as a router does', () => answers(404, '404 Not Found: Requested route does not exist.')],
  ['lies in plain text', () => answers(200, 'yes')],
  ['lies in JSON of another shape', () => answers(200, { read: 'yes', links: 1, issuer: 1, keys: 1 })],
  ['answers without end', () => answers(200, `"${'a'.repeat(2 * 1024 * 1024)}"`)],
  ['answers less than it has announced', () => answers(200, '{}', { 'content-length': '100' })],
];

it('admits the developer while all is well', async () => {
  expect(await outcome()).toBe('admitted');
});

describe.each(Object.entries(PLACES))('while %s', (_place, path) => {
  it.each(FAULTS)('%s, nobody gets in by a token', async (_what, fault) => {
    controller.faults.set(path, fault());
    expect(await outcome()).toBe('controller_unreachable');
    expect(tempter.asked).toBe(0);
    const { requester } = await callersFor({ url: controller.url }).identify('admin', [basic()], '127.0.0.1');
    expect(requester).toEqual({ realm: 'admin', username: 'admin' });
  });
});

function basic(): string {
  return `Basic ${Buffer.from('admin:the password').toString('base64')}`;
}

it.each([
  ['the root document', () => controller.url, '/'],
  ['discovery', () => controller.uaa.url, '/.well-known/openid-configuration'],
  ['the keys', () => controller.uaa.url, '/token_keys'],
])('takes no answer that is right but for its status: %s', async (_what, base, path) => {
  const genuine = (await (await fetch(`${base()}${path}`)).json()) as object;
  controller.faults.set(new RegExp(`^${path}$`), answers(503, genuine));
  expect(await outcome()).toBe('controller_unreachable');
});

it('admits again by itself when they are well again', async () => {
  const callers = callersFor({ url: controller.url });
  controller.faults.set(/./, { kind: 'cut' });
  expect(await outcome(callers)).toBe('controller_unreachable');
  controller.faults.heal();
  await until('the admission', async () => (await outcome(callers)) === 'admitted');
});

it('lets nobody in where there is no controller at all', async () => {
  expect(await outcome(callersFor({ url: 'http://127.0.0.1:9' }))).toBe('controller_unreachable');
});

it('takes no token for one where no controller is configured', async () => {
  const before = controller.faults.requests.length;
  expect(await outcome(callersFor({}))).toBe('unauthenticated');
  expect(controller.faults.requests.length).toBe(before);
});

it('takes RS256 only, also where the keys name no algorithm', async () => {
  const { uaa, world } = controller;
  const { kid, privateKey, publicKey } = uaa.signingKey;
  const served = { keys: [{ ...(await exportJWK(publicKey)), kid }] };
  controller.faults.set(/token_keys/, answers(200, served));
  const callers = callersFor({ url: controller.url });
  expect(await outcome(callers)).toBe('admitted');
  for (const alg of ['RS384', 'RS512', 'PS256', 'PS512']) {
    const signed = await new SignJWT(uaa.claims(world.users.developer))
      .setProtectedHeader({ alg, kid })
      .sign(privateKey);
    await expect(callers.identify('admin', [`bearer ${signed}`], '127.0.0.1')).rejects.toMatchObject({
      code: 'unauthenticated',
    });
  }
});

it('asks where a path stands in the address, and whether or not a slash is at its end', async () => {
  expect(await outcome(callersFor({ url: `${controller.url}/` }))).toBe('admitted');
});

describe('over TLS', () => {
  const pair = drawCertificate('localhost');
  let secure: CloudController;

  beforeAll(async () => {
    secure = await startCloudController({ tls: pair });
    secure.world.addInstance(guid);
  });
  afterAll(() => secure.close());

  it.each([
    ['of an unknown certificate', () => ({}), 'controller_unreachable'],
    ['of the configured certificate', () => ({ ca: pair.certificate }), 'admitted'],
    ['of another certificate', () => ({ ca: drawCertificate('localhost').certificate }), 'controller_unreachable'],
    ['of any certificate where it is not to be checked', () => ({ skip_tls_verify: true }), 'admitted'],
  ])('a controller %s', async (_what, trust, expected) => {
    const { users } = secure.world;
    token = await secure.token(users.developer);
    expect(await outcome(callersFor({ url: secure.url, ...trust() }))).toBe(expected);
  });

  it('a UAA without TLS is not asked', async () => {
    secure.faults.set(/^\/$/, answers(200, { links: { uaa: { href: controller.uaa.url } } }));
    const before = controller.faults.requests.length;
    expect(await outcome(callersFor({ url: secure.url, ca: pair.certificate }))).toBe('controller_unreachable');
    expect(controller.faults.requests.length).toBe(before);
    secure.faults.heal();
  });
});

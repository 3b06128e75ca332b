import { randomUUID } from 'node:crypto';
import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Answer } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { ids, instancePath, type Platform } from '../support/platform.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let platform: Platform;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster });
  platform = broker.platform;
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

const endpoints: [string, (as: Platform) => Promise<Answer>][] = [
  ['GET catalog', (as) => as.catalog()],
  ['PUT instance', (as) => as.provision('i')],
  ['PATCH instance', (as) => as.update('i')],
  ['DELETE instance', (as) => as.deprovision('i')],
  ['GET instance', (as) => as.instance('i')],
  ['GET instance last_operation', (as) => as.lastOperation('i')],
  ['PUT binding', (as) => as.bind('i', 'b')],
  ['DELETE binding', (as) => as.unbind('i', 'b')],
  ['GET binding', (as) => as.binding('i', 'b')],
  ['GET binding last_operation', (as) => as.lastBindingOperation('i', 'b')],
];

describe.each(endpoints)('%s', (_name, call) => {
  it('without credentials is 401 and asks for Basic', async () => {
    const answer = await call(platform.as(undefined));
    expectRefused(answer, 401);
    expect(answer.headers['www-authenticate']).toMatch(/^Basic /);
  });

  it('with a wrong password is 401 and asks for Basic', async () => {
    const answer = await call(platform.as({ username: randomUUID(), password: 'wrong' }));
    expectRefused(answer, 401);
    expect(answer.headers['www-authenticate']).toMatch(/^Basic /);
  });

  it('without X-Broker-API-Version is 412 and says so', async () => {
    expectRefused(await call(platform.having({ 'x-broker-api-version': undefined })), 412, {
      says: /X-Broker-API-Version/i,
    });
  });

  it('echoes X-Broker-API-Request-Identity and logs it', async () => {
    const identity = randomUUID();
    const answer = await call(platform.having({ 'x-broker-api-request-identity': identity }));
    expect(answer.headers['x-broker-api-request-identity']).toBe(identity);
    await until('the log to tell it', () => broker.log.some((line) => line.includes(identity)));
  });

  it('with a malformed X-Broker-API-Originating-Identity is 400', async () => {
    for (const identity of ['cloudfoundry', 'cloudfoundry %%%', `cloudfoundry ${base64('no json')}`])
      expectRefused(await call(platform.having({ 'x-broker-api-originating-identity': identity })), 400, {
        says: /originating-identity/i,
      });
  });
});

it("is not opened by the admin's password, nor the admin's API by the platform's", async () => {
  expectRefused(await platform.as(broker.home.admin).catalog(), 401);
  expect((await broker.admin.as(broker.home.platform).get('/operations')).status).toBe(401);
});

it('a right user name with a wrong password is 401', async () => {
  expectRefused(await platform.as({ ...broker.home.platform, password: 'wrong' }).catalog(), 401);
});

describe('the order of checks', () => {
  const noVersion = () => platform.having({ 'x-broker-api-version': undefined });

  it('asks for credentials before the API version', async () => {
    expect((await noVersion().as(undefined).provision('i')).status).toBe(401);
  });

  it('asks for the API version before it looks at the body', async () => {
    const answer = await noVersion().send('PUT', instancePath('i'), { raw: '{' });
    expect(answer.status).toBe(412);
  });

  it('looks at the request before it looks for the instance', async () => {
    expect((await platform.update('absent', { plan_id: 'absent' })).status).toBe(400);
    expect((await platform.bind('absent', 'b', { plan_id: 'absent' })).status).toBe(400);
    expect((await platform.deprovision('absent', { plan_id: undefined })).status).toBe(400);
    expect((await platform.unbind('absent', 'b', { service_id: undefined })).status).toBe(400);
  });

  it('looks for the instance before it says 422', async () => {
    const differs = { maintenance_info: { version: '99.0.0' } };
    expect((await platform.update('absent', { ...ids, ...differs })).status).toBe(404);
    expect((await platform.deprovision('absent')).status).toBe(410);
  });
});

describe('the API version', () => {
  it.each(['2.0', '2.12', '2.15', '2.17', '2.99'])('%s is accepted', async (version) => {
    expectDone(await platform.having({ 'x-broker-api-version': version }).catalog(), 200);
  });

  it.each(['', 'two', '2', '2.', '1.17', '3.0', '12.5', '2.17; 3.0'])('"%s" is 412', async (version) => {
    expectRefused(await platform.having({ 'x-broker-api-version': version }).catalog(), 412);
  });
});

describe('the originating identity', () => {
  const identities = [
    ['cloudfoundry', { user_id: '683ea748-3092-4ff4-b656-39cacc4d5360' }],
    ['kubernetes', { username: 'duke', uid: 'c2dde242', groups: ['admin', 'dev'], extra: { mydata: ['data1'] } }],
  ] as const;

  it.each(identities)('of %s goes into the record of the operation', async (name, value) => {
    const identity = `${name} ${base64(JSON.stringify(value))}`;
    const asked = platform.having({ 'x-broker-api-originating-identity': identity });
    expectDone(await asked.provision(name), 201);
    const { body } = await broker.admin.get('/operations', { query: { instance_id: name } });
    expect(body['operations']).toMatchObject([
      { kind: 'provision', requested_by: { realm: 'platform', originating: { platform: name, value } } },
    ]);
    expectDone(await platform.deprovision(name), 200);
  });
});

describe('ids in the path', () => {
  const strange: [string, string][] = [
    ['a plain one', 'plain'],
    ['one with spaces', 'with spaces and\ttab'],
    ['one with slashes', 'a/b//c'],
    ['one with quotes', `quotes ' " \` ; -- $1 %s \\`],
    ['one in unicode', 'Ünïcödé 数据库 🐘'],
    ['the parent folder', '..'],
    ['one that looks encoded', '%2e%2e%00percent'],
    ['255 characters', 'x'.repeat(255)],
    ['254 characters outside the first plane', '🐘'.repeat(127)],
    ['255 characters with slashes', `${'ß/'.repeat(127)}!`],
  ];

  it.each(strange)('%s is taken as it is, for instances and bindings', async (_what, id) => {
    expectDone(await platform.provision(id), 201);
    expectDone(await platform.bind(id, id), 201);
    expectDone(await platform.instance(id), 200);
    expectDone(await platform.binding(id, id), 200);
    expect((await broker.home.estate.look()).instances.map((row) => row['id'])).toEqual([id]);
    await broker.home.estate.expectExactly([id], [`${id}/${id}`]);
    expectDone(await platform.update(id, { parameters: { extensions: ['citext'] } }), 200);
    expectDone(await platform.unbind(id, id), 200);
    expectDone(await platform.deprovision(id), 200);
    await broker.home.estate.expectExactly([]);
  });

  it('that differ only in case are different', async () => {
    expectDone(await platform.provision('Case'), 201);
    expectDone(await platform.provision('case'), 201);
    expectDone(await platform.bind('case', 'B'), 201);
    expectDone(await platform.bind('case', 'b'), 201);
    expect((await platform.binding('Case', 'b')).status).toBe(404);
    expectDone(await platform.unbind('case', 'B'), 200);
    expectDone(await platform.deprovision('Case'), 200);
    await broker.home.estate.expectExactly(['case'], ['case/b']);
    expectDone(await platform.unbind('case', 'b'), 200);
    expectDone(await platform.deprovision('case'), 200);
  });

  it.each([
    ['of more than 255 characters', 'x'.repeat(256)],
    ['with NUL', 'a\0b'],
  ])('%s are 400', async (_what, id) => {
    const before = await broker.home.estate.snapshot();
    expectRefused(await platform.provision(id), 400, { says: /id/ });
    expectRefused(await platform.bind('i', id), 400, { says: /id/ });
    expect(await broker.home.estate.snapshot()).toBe(before);
  });
});

it('ignores fields that it does not know', async () => {
  const unknown = { surprise: true, context: { platform: 'new', more: [1] } };
  expectDone(await platform.provision('unknown-fields', unknown), 201);
  expectDone(await platform.bind('unknown-fields', 'b', { ...unknown, bind_resource: { surprise: 1 } }), 201);
  expectDone(await platform.update('unknown-fields', unknown), 200);
  expectDone(await platform.unbind('unknown-fields', 'b', { surprise: 'yes' }), 200);
  expectDone(await platform.deprovision('unknown-fields', { surprise: 'yes' }), 200);
});

it('takes a DELETE that has a JSON content type and no body', async () => {
  expectDone(await platform.provision('empty-body'), 201);
  const json = platform.having({ 'content-type': 'application/json' });
  expectDone(await json.deprovision('empty-body'), 200);
});

it('names the service that it does not know', async () => {
  expectRefused(await platform.provision('i', { service_id: 'absent' }), 400, { says: /service_id/ });
});

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

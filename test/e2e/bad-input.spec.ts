import { connect } from 'node:net';
import { expectDone, expectNoInnards, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Call } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { bindingPath, ids, instancePath, place, type Platform, SERVICE } from '../support/platform.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let platform: Platform;
let before: string;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster });
  platform = broker.platform;
  expectDone(await platform.provision('i'), 201);
  expectDone(await platform.bind('i', 'b'), 201);
  before = await broker.home.estate.snapshot();
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

afterEach(async () => {
  expect(await broker.home.estate.snapshot()).toBe(before);
  expect(broker.log.filter((line) => /"level":(50|60)/.test(line))).toEqual([]);
});

const writes: [string, string, string][] = [
  ['PUT instance', 'PUT', instancePath('new')],
  ['PATCH instance', 'PATCH', instancePath('i')],
  ['PUT binding', 'PUT', bindingPath('i', 'new')],
];

const all = { ...ids, ...place };

describe.each(writes)('%s', (_name, method, path) => {
  const send = (call: Call) => platform.send(method, path, call);

  it.each([
    ['malformed JSON', '{"service_id": '],
    ['JSON with a trailing comma', '{"service_id": "a",}'],
    ['no body at all', ''],
    ['an array', '[]'],
    ['a text', '"x"'],
    ['null', 'null'],
    ['a number', '17'],
    ['broken UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31])],
  ])('with %s is 400', async (_what, raw) => {
    expectRefused(await send({ raw }), 400, { says: /JSON|body/i });
  });

  it('without a content type is 400', async () => {
    const raw = JSON.stringify(all);
    expectRefused(await send({ raw, headers: { 'content-type': undefined } }), 400, { says: /content.type/i });
  });

  it('with another content type is a 4xx', async () => {
    const answer = await send({
      raw: 'service_id=a',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect([400, 415]).toContain(answer.status);
    expectRefused(answer, answer.status);
  });

  it.each([0, true, null, [], {}, ['x']])('with a service_id of %j is 400 and names it', async (service_id) => {
    expectRefused(await send({ body: { ...all, service_id } }), 400, { says: /service_id/ });
  });

  it.each([0, true, [], {}])('with a plan_id of %j is 400 and names it', async (plan_id) => {
    expectRefused(await send({ body: { ...all, plan_id } }), 400, { says: /plan_id/ });
  });

  it.each([
    ['parameters', 'x'],
    ['parameters', [1]],
    ['parameters', 1],
    ['context', 'x'],
    ['context', [1]],
  ])('with %s of %j is 400 and names it', async (key, value) => {
    expectRefused(await send({ body: { ...all, [key]: value } }), 400, { says: new RegExp(key) });
  });

  it('with a parameter outside the schema is 400, names it and what is allowed', async () => {
    const says = /colour.*(extensions|locale|access)|(extensions|locale|access).*colour/;
    expectRefused(await send({ body: { ...all, parameters: { colour: 1 } } }), 400, { says });
  });

  it('with a prototype in its parameters is 400 or ignored', async () => {
    const raw = JSON.stringify({ ...all, plan_id: 'absent' }).replace('}', ',"parameters":{"__proto__":{"a":1}}}');
    expectRefused(await send({ raw }), 400);
  });

  it('with NUL in a text that is stored is 400', async () => {
    const body = { ...all, context: { platform: 'cloudfoundry', space_name: 'a\0b' }, plan_id: 'absent' };
    expectRefused(await send({ body }), 400);
  });

  it('with a body over 1 MiB is 413, also when its length is not told', async () => {
    const raw = JSON.stringify({ ...all, parameters: { extensions: ['x'.repeat(1024 * 1024)] } });
    expectRefused(await send({ raw }), 413, { says: /MiB|bytes|large/i });
    const chunked = { 'content-length': undefined, 'transfer-encoding': 'chunked' };
    expectRefused(await send({ raw, headers: chunked }), 413, { says: /MiB|bytes|large/i });
  });

  it('nested a thousand levels deep is a 4xx', async () => {
    const deep = `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`;
    const raw = `${JSON.stringify(all).slice(0, -1)},"parameters":${deep}}`;
    const answer = await send({ raw });
    expect(answer.status).toBe(400);
    expectNoInnards(answer);
  });
});

describe('fields of one call only', () => {
  it.each([
    ['organization_guid', 'PUT', instancePath('new'), [7, {}, [], null]],
    ['space_guid', 'PUT', instancePath('new'), [7, {}, [], null]],
    ['maintenance_info', 'PUT', instancePath('new'), ['1.0.0', 1, [], { version: 1 }]],
    ['maintenance_info', 'PATCH', instancePath('i'), ['1.0.0', 1, [], { version: 1 }]],
    ['previous_values', 'PATCH', instancePath('i'), ['x', 1, []]],
    ['bind_resource', 'PUT', bindingPath('i', 'new'), ['x', 1, []]],
    ['app_guid', 'PUT', bindingPath('i', 'new'), [7, {}, []]],
    ['predecessor_binding_id', 'PUT', bindingPath('i', 'new'), [7, {}, [], '', 'x'.repeat(256)]],
  ])('a %s of another type in %s %s is 400 and named', async (key, method, path, values) => {
    for (const value of values)
      expectRefused(await platform.send(method, path, { body: { ...all, [key]: value } }), 400, {
        says: new RegExp(key),
      });
  });
});

describe('queries', () => {
  it.each([
    ['service_id', `${instancePath('i')}?service_id=a&service_id=b&plan_id=c`],
    ['plan_id', `${bindingPath('i', 'b')}?service_id=${SERVICE}&plan_id=a&plan_id=b`],
    ['accepts_incomplete', `${instancePath('i')}?service_id=${SERVICE}&plan_id=a&accepts_incomplete=maybe`],
  ])('a repeated or wrong %s is 400 and named', async (key, path) => {
    expectRefused(await platform.delete(path), 400, { says: new RegExp(key) });
  });

  it.each([
    ['an unknown service', { service_id: 'absent' }, /service_id/],
    ['an unknown plan', { plan_id: 'absent' }, /plan_id/],
    ['an empty service', { service_id: '' }, /service_id/],
    ['an empty plan', { plan_id: '' }, /plan_id/],
  ])('a DELETE with %s is 400 and names it', async (_what, query, says) => {
    expectRefused(await platform.deprovision('i', query), 400, { says });
    expectRefused(await platform.unbind('i', 'b', query), 400, { says });
  });
});

describe('paths', () => {
  it.each([
    '/v2/service_instances/%',
    '/v2/service_instances/%ff',
    '/v2/service_instances/%00',
    '/v2/service_instances/',
    '/v2/service_instances/i/service_bindings/%e0%a4',
    `/v2/service_instances/${'x'.repeat(256)}`,
    `/v2/service_instances/${'x'.repeat(7000)}`,
    `/v2/service_instances/i/service_bindings/${'y'.repeat(256)}`,
  ])('%.60s is a 4xx with a description', async (path) => {
    for (const method of ['PUT', 'DELETE', 'GET']) {
      const body = method === 'PUT' ? { body: ids } : {};
      const answer = await platform.send(method, path, { query: method === 'DELETE' ? ids : {}, ...body });
      expect([400, 404, 410, 414]).toContain(answer.status);
      if (answer.status !== 410) expectRefused(answer, answer.status);
    }
  });

  it.each(['/v2', '/v2/absent', '/absent', '/operations/no-uuid', '/operations?limit=-1', '/operations?limit=x'])(
    '%s is a 4xx without innards',
    async (path) => {
      const answer = await (path.startsWith('/v2') ? platform : broker.admin).get(path);
      expect([400, 404]).toContain(answer.status);
      expectNoInnards(answer);
      expect(answer.headers['content-type']).toMatch(path.startsWith('/v2') ? /json/ : /application\/problem\+json/);
    },
  );

  it('a method that is not there is 404 or 405', async () => {
    for (const method of ['POST', 'PUT', 'OPTIONS'])
      expect([404, 405]).toContain((await platform.send(method, '/v2/catalog', {})).status);
  });

  it('SQL in every place changes nothing and shows nothing', async () => {
    const evil = `'; DROP TABLE service_instance; --`;
    for (const answer of [
      await platform.instance(evil),
      await platform.binding('i', evil),
      await platform.lastOperation(evil, { operation: evil }),
      await platform.lastOperation('i', { operation: evil }),
      await platform.update(evil, { plan_id: evil }),
      await platform.bind('i', 'x', { parameters: { access: evil } }),
      await platform.provision('x', { parameters: { locale: evil } }),
      await platform.provision('x', { parameters: { extensions: [evil] } }),
      await broker.admin.get('/operations', { query: { instance_id: evil, after: evil } }),
    ]) {
      expect(answer.status).toBeLessThan(500);
      expect(answer.text).not.toMatch(/syntax error|relation |stack/);
    }
  });
});

describe('credentials', () => {
  it('1,000 requests with wrong ones are 401, or 429 with Retry-After, and the right one still opens', async () => {
    const statuses = new Map<number, number>();
    const guess = async (n: number) => {
      const answer = await platform.as({ username: 'platform', password: `guess-${n}` }).catalog();
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status === 429) expect(answer.headers['retry-after']).toMatch(/^\d+$/);
      expectRefused(answer, answer.status);
    };
    for (let n = 0; n < 1000; n += 50) await Promise.all(Array.from({ length: 50 }, (_, m) => guess(n + m)));
    expect([...statuses.keys()].filter((status) => status !== 401 && status !== 429)).toEqual([]);
    expect((statuses.get(401) ?? 0) + (statuses.get(429) ?? 0)).toBe(1000);
    expect(statuses.get(429) ?? 0).toBeGreaterThan(0);
    expectDone(await platform.catalog(), 200);
    expect((await broker.admin.get('/operations')).status).toBe(200);
  });

  it.each(['Basic', 'Basic !!!', 'Basic bm9jb2xvbg==', 'Bearer x', 'Basic Og==', `Basic ${'A'.repeat(4000)}`])(
    'the Authorization "%.30s" is 401',
    async (authorization) => {
      expect([401, 429]).toContain((await platform.as(undefined).catalog({ headers: { authorization } })).status);
    },
  );
});

describe('header floods', () => {
  it('of one header of 1 MiB are a 4xx', async () => {
    expect(await flood(`X-Flood: ${'x'.repeat(1024 * 1024)}\r\n`)).toMatch(/^HTTP\/1\.1 4\d\d /);
  });

  it('of 20,000 headers are a 4xx', async () => {
    const headers = Array.from({ length: 20_000 }, (_, n) => `X-Flood-${n}: x\r\n`).join('');
    expect(await flood(headers)).toMatch(/^HTTP\/1\.1 4\d\d /);
  });

  it('and what is no HTTP is a 400', async () => {
    expect(await flood('', 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });

  afterAll(async () => expectDone(await platform.catalog(), 200));
});

/** The first bytes that the broker answers before it closes the connection. */
function flood(headers: string, start = 'GET /v2/catalog HTTP/1.1\r\nHost: broker\r\n'): Promise<string> {
  const { hostname, port } = new URL(broker.url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(Number(port), hostname, () => socket.end(`${start}${headers}\r\n`));
    socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
    socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
    socket.on('close', () => resolve(answer));
  });
}

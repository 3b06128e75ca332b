import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Answer } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, later, MEDIUM, type Platform } from '../support/platform.js';
import { session, sql } from '../support/sql.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let platform: Platform;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster });
  platform = broker.platform;
  expectDone(await platform.provision('i'), 201);
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

async function refusedAndUnchanged(ask: () => Promise<Answer>, status: number, says = /\S/) {
  const before = await broker.home.estate.snapshot();
  expectRefused(await ask(), status, { says });
  expect(await broker.home.estate.snapshot()).toBe(before);
}

describe('PUT binding', () => {
  it('is 201 with credentials and endpoints', async () => {
    const answer = await platform.bind('i', 'made', { bind_resource: { app_guid: 'app' }, app_guid: 'app' });
    expectDone(answer, 201);
    expect(answer.body['endpoints']).toEqual([{ host: cluster.host, ports: [String(cluster.port)], protocol: 'tcp' }]);
    expect(await sql(credentialsOf(answer).uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(answer.body).not.toHaveProperty('operation');
  });

  it('is 201 at once even where the platform would wait', async () => {
    expectDone(await platform.bind('i', 'patient', {}, later), 201);
  });

  it('is 200 with the same credentials when it is identical', async () => {
    const first = await platform.bind('i', 'twice', { parameters: { access: 'read-only' } });
    expectDone(first, 201);
    const second = await platform.bind('i', 'twice', { parameters: { access: 'read-only' } });
    expectDone(second, 200);
    expect(second.body['credentials']).toEqual(first.body['credentials']);
  });

  it('is 409 with other attributes', async () => {
    await refusedAndUnchanged(() => platform.bind('i', 'twice', { parameters: { access: 'read-write' } }), 409);
    await refusedAndUnchanged(() => platform.bind('i', 'twice', { bind_resource: { app_guid: 'other' } }), 409);
  });

  it('is one of many at the same moment', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => platform.bind('i', 'raced')));
    expect(answers.map(({ status }) => status).filter((status) => status === 201).length).toBeLessThanOrEqual(1);
    for (const answer of answers)
      if (answer.status === 422) expectRefused(answer, 422, { error: 'ConcurrencyError' });
      else expect([200, 201]).toContain(answer.status);
    const good = answers.filter(({ status }) => status !== 422).map((answer) => credentialsOf(answer).uri);
    expect(new Set(good).size).toBe(1);
  });

  it('is 404 when the instance is unknown', async () => {
    await refusedAndUnchanged(() => platform.bind('absent', 'b'), 404);
  });

  it.each([
    ['without service_id', { service_id: undefined }, /service_id/],
    ['without plan_id', { plan_id: undefined }, /plan_id/],
    ['with an unknown service', { service_id: 'absent' }, /service_id/],
    ['with an unknown plan', { plan_id: 'absent' }, /plan_id/],
    ['with an unknown parameter', { parameters: { colour: 'red' } }, /colour/],
    ['with an unknown access', { parameters: { access: 'admin' } }, /access.*read-(write|only)/],
    ['with parameters that are no object', { parameters: [1] }, /parameters/],
    ['with a bind_resource that is no object', { bind_resource: 'app' }, /bind_resource/],
    ['with a predecessor that is no text', { predecessor_binding_id: 5 }, /predecessor_binding_id/],
  ])('%s is 400 and names it', async (_what, body, says) => {
    await refusedAndUnchanged(() => platform.bind('i', 'refused', body), 400, says);
  });

  it('with another plan of the service, as a platform that missed the answer to an update remembers it, is 201', async () => {
    const before = { plan_id: MEDIUM };
    expectDone(await platform.bind('i', 'of-before', before), 201);
    expectDone(await platform.bind('i', 'of-before', before), 200);
    expectDone(await platform.unbind('i', 'of-before', before), 200);
  });

  it('without an app is a service key', async () => {
    expectDone(await platform.bind('i', 'key', { bind_resource: {}, context: { platform: 'cloudfoundry' } }), 201);
    expectDone(await platform.bind('i', 'key-2', { bind_resource: { credential_client_id: 'c' } }), 201);
  });

  it('from a space that the instance is shared with is fine', async () => {
    const shared = {
      context: { platform: 'cloudfoundry', space_guid: 'a' },
      bind_resource: { app_guid: 'x', space_guid: 'b' },
    };
    expectDone(await platform.bind('i', 'shared', shared), 201);
  });
});

describe('access', () => {
  it('read-only reads every table of every schema of the owner, those made later too, and writes none', async () => {
    const writer = await session(
      credentialsOf(await platform.bind('i', 'writer', { parameters: { access: 'read-write' } })).uri,
    );
    await writer.query('CREATE SCHEMA app; CREATE TABLE app.before (a int); INSERT INTO app.before VALUES (1)');
    const reader = await session(
      credentialsOf(await platform.bind('i', 'reader', { parameters: { access: 'read-only' } })).uri,
    );
    await writer.query('CREATE SCHEMA app2; CREATE TABLE app2.after (a int); INSERT INTO app2.after VALUES (2)');
    await writer.query('CREATE TABLE public.after (a int); CREATE VIEW app.v AS SELECT 3 AS a; CREATE SEQUENCE app.s');
    for (const relation of ['app.before', 'app2.after', 'public.after', 'app.v'])
      await expect(reader.query(`SELECT * FROM ${relation}`)).resolves.toBeDefined();
    await reader.query('SET default_transaction_read_only = off');
    for (const statement of [
      'INSERT INTO app.before VALUES (2)',
      'UPDATE app2.after SET a = 1',
      'DELETE FROM public.after',
      'TRUNCATE app.before',
      'DROP TABLE app.before',
      'CREATE TABLE public.mine (a int)',
      'CREATE SCHEMA mine',
      'CREATE TEMP TABLE mine (a int)',
      `SELECT nextval('app.s')`,
    ])
      await expect(reader.query(statement)).rejects.toThrow(/permission denied|must be owner/);
    await reader.end();
    await writer.end();
  });

  it('is read-write unless asked otherwise', async () => {
    const { uri } = credentialsOf(await platform.bind('i', 'default-access'));
    await expect(sql(uri, 'CREATE TABLE public.by_default (a int)')).resolves.toEqual([]);
  });
});

describe('GET binding', () => {
  it('is 200 with the credentials and parameters, asked without service_id and plan_id', async () => {
    const bound = await platform.bind('i', 'shown', { parameters: { access: 'read-only' } });
    const answer = await platform.binding('i', 'shown');
    expectDone(answer, 200);
    expect(answer.body).toMatchObject({
      credentials: credentialsOf(bound),
      endpoints: bound.body['endpoints'],
      parameters: { access: 'read-only' },
    });
  });

  it('is 404 when it is absent, or of another instance', async () => {
    expectRefused(await platform.binding('i', 'absent'), 404);
    expectRefused(await platform.binding('absent', 'shown'), 404);
  });
});

describe('GET last_operation of a binding', () => {
  it('is 200 when it is known', async () => {
    const answer = await platform.lastBindingOperation('i', 'shown');
    expectDone(answer, 200);
    expect(answer.body['state']).toBe('succeeded');
  });

  it('is 404 when it never existed', async () => {
    expectRefused(await platform.lastBindingOperation('i', 'never'), 404);
    expectRefused(await platform.lastBindingOperation('never', 'shown'), 404);
  });
});

describe('DELETE binding', () => {
  it('is 200 {} when it is deleted, and its credentials no longer work, its objects stay', async () => {
    const { uri } = credentialsOf(await platform.bind('i', 'deleted'));
    const open = await session(uri);
    await open.query('CREATE TABLE left_behind (a int)');
    await open.query('BEGIN');
    await open.query('INSERT INTO left_behind VALUES (1)');
    const answer = await platform.unbind('i', 'deleted');
    expectDone(answer, 200);
    expect(answer.body).toEqual({});
    await expect(open.query('COMMIT')).rejects.toThrow();
    await expect(session(uri)).rejects.toThrow();
    const { uri: other } = credentialsOf(await platform.binding('i', 'default-access'));
    expect(await sql(other, 'SELECT count(*)::int AS n FROM left_behind')).toEqual([{ n: 0 }]);
    await sql(other, 'DROP TABLE left_behind');
  });

  it('is 410 {} when it is absent, or its instance is', async () => {
    for (const answer of [
      await platform.unbind('i', 'deleted'),
      await platform.unbind('i', 'never'),
      await platform.unbind('never', 'b'),
    ])
      expect({ status: answer.status, text: answer.text }).toEqual({ status: 410, text: '{}' });
  });

  it.each(['service_id', 'plan_id'])('without %s is 400 and names it', async (key) => {
    await refusedAndUnchanged(() => platform.unbind('i', 'made', { [key]: undefined }), 400, new RegExp(key));
  });

  it('leaves the other bindings alone', async () => {
    const [a, b] = await Promise.all(['alone-a', 'alone-b'].map((id) => platform.bind('i', id)));
    if (!a || !b) throw new Error('two bindings expected');
    expect(credentialsOf(a).username).not.toBe(credentialsOf(b).username);
    expectDone(await platform.unbind('i', 'alone-a'), 200);
    expect(await sql(credentialsOf(b).uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});

it('has left nothing behind but what is there', async () => {
  const { bindings } = await broker.home.estate.look();
  await broker.home.estate.expectExactly(
    ['i'],
    bindings.map(({ id }) => `i/${String(id)}`),
  );
  for (const { id } of bindings) expectDone(await platform.unbind('i', String(id)), 200);
  await broker.home.estate.expectExactly(['i']);
});

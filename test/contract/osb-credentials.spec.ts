import pg from 'pg';
import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { drawCertificate } from '../support/certificate.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { type Credentials, credentialsOf, MEDIUM, type Platform, SERVICE, SMALL } from '../support/platform.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';

const BINDING_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+Z$/;
const AGE = { plan_id: MEDIUM };
const MAX_AGE_MS = 24 * 3_600_000;

let cluster: Cluster;
let broker: SpawnedBroker;
let platform: Platform;
let credentials: Credentials;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster, config: agedCatalog() });
  platform = broker.platform;
  expectDone(await platform.provision('i'), 201);
  expectDone(await platform.provision('ageing', AGE), 201);
  credentials = credentialsOf(await platform.bind('i', 'b'));
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

const whoami = 'SELECT session_user::text AS name, current_database()::text AS database';

describe('credentials', () => {
  it('hold every key that libraries read, each under all of its names', () => {
    expect(credentials).toMatchObject({
      uri: expect.any(String) as string,
      jdbcUrl: expect.any(String) as string,
      hostname: cluster.host,
      host: cluster.host,
      port: cluster.port,
      username: expect.any(String) as string,
      password: expect.any(String) as string,
      sslmode: 'disable',
    });
    expect(credentials.database).toBe(credentials.name);
    expect(credentials.dbname).toBe(credentials.name);
    expect(credentials).not.toHaveProperty('sslrootcert');
  });

  it('have an alphanumeric user name and password', () => {
    expect(credentials.username).toMatch(/^[A-Za-z0-9]+$/);
    expect(credentials.password).toMatch(/^[A-Za-z0-9]{20,}$/);
  });

  it('open the database by uri (DATABASE_URL, node cfenv, java-buildpack)', async () => {
    const uri = new URL(credentials.uri);
    expect(uri.protocol).toMatch(/^postgres(ql)?:$/);
    expect(uri.searchParams.get('sslmode')).toBe('disable');
    expect(await sql(uri.href, whoami)).toEqual([{ name: credentials.username, database: credentials.name }]);
  });

  it('open the database by jdbcUrl (java-cfenv, spring-cloud-connectors)', async () => {
    expect(credentials.jdbcUrl).toMatch(/^jdbc:postgresql:\/\//);
    const jdbc = new URL(credentials.jdbcUrl.slice('jdbc:'.length));
    expect(jdbc.username).toBe('');
    expect(Object.fromEntries(jdbc.searchParams)).toEqual({
      user: credentials.username,
      password: credentials.password,
      sslmode: 'disable',
    });
    const { user, password } = Object.fromEntries(jdbc.searchParams);
    const login = `postgres://${user}:${password}@${jdbc.host}${jdbc.pathname}`;
    expect(await sql(login, whoami)).toEqual([{ name: credentials.username, database: credentials.name }]);
  });

  it.each<[string, (keyof Credentials)[]]>([
    ['@cap-js/postgres', ['hostname', 'port', 'dbname', 'username', 'password']],
    ['Steeltoe', ['hostname', 'port', 'name', 'username', 'password']],
    ['spring-cloud-connectors', ['host', 'port', 'database', 'username', 'password']],
  ])('open the database by single keys (%s)', async (_reader, keys) => {
    const [host, port, database, user, password] = keys.map((key) => credentials[key]);
    const client = new pg.Client({ host, port, database, user, password } as pg.ClientConfig);
    await client.connect();
    expect((await client.query(whoami)).rows).toEqual([{ name: credentials.username, database: credentials.name }]);
    await client.end();
  });

  it('are found by the tags postgresql and postgres', async () => {
    const [service] = (await platform.catalog()).body['services'] as { tags: string[] }[];
    expect(service?.tags).toEqual(expect.arrayContaining(['postgresql', 'postgres', 'relational', 'database']));
  });

  it('are encrypted at rest, and on the server only a verifier is kept', async () => {
    const rows = JSON.stringify(await broker.home.estate.state('SELECT * FROM service_binding'));
    expect(rows).not.toContain(credentials.password);
    const [role] = await sql(cluster.superuserUrl(), 'SELECT rolpassword FROM pg_authid WHERE rolname = $1', [
      credentials.username,
    ]);
    expect(role?.['rolpassword']).toMatch(/^SCRAM-SHA-256\$/);
  });
});

describe('a server with a public address and a CA', () => {
  it('hands out that address, a verifying sslmode and the contents of the CA', async () => {
    const ca = drawCertificate('authority').certificate;
    await broker.stop();
    const servers = [{ public_host: 'db.example.org', public_port: 6432, sslmode: undefined, ca }];
    broker = await spawnBroker({ home: broker.home, config: { ...agedCatalog(), servers } });
    platform = broker.platform;
    const answer = await platform.binding('i', 'b');
    const shown = credentialsOf(answer);
    expect(shown).toMatchObject({ host: 'db.example.org', port: 6432, sslmode: 'verify-full', sslrootcert: ca });
    for (const url of [shown.uri, shown.jdbcUrl.slice('jdbc:'.length)]) {
      expect(new URL(url).host).toBe('db.example.org:6432');
      expect(new URL(url).searchParams.get('sslmode')).toBe('verify-full');
    }
    expect(answer.body['endpoints']).toEqual([{ host: 'db.example.org', ports: ['6432'], protocol: 'tcp' }]);
    await broker.stop();
    broker = await spawnBroker({ home: broker.home, config: agedCatalog() });
    platform = broker.platform;
  });
});

describe('binding_max_age', () => {
  it('says when the binding expires and that it is renewed before', async () => {
    const asked = Date.now();
    const answer = await platform.bind('ageing', 'b', AGE);
    expectDone(answer, 201);
    const { expires_at, renew_before } = answer.body['metadata'] as Record<string, string>;
    expect(expires_at).toMatch(BINDING_TIME);
    expect(renew_before).toMatch(BINDING_TIME);
    expect(Date.parse(String(renew_before))).toBeLessThan(Date.parse(String(expires_at)));
    expect(Date.parse(String(expires_at))).toBeGreaterThanOrEqual(asked + MAX_AGE_MS - 1000);
    expect(Date.parse(String(expires_at))).toBeLessThanOrEqual(Date.now() + MAX_AGE_MS + 1000);
    expect((await platform.binding('ageing', 'b')).body['metadata']).toEqual(answer.body['metadata']);
    expect((await platform.bind('i', 'ageless')).body['metadata'] ?? {}).not.toHaveProperty('expires_at');
  });
});

describe('the role of a binding', () => {
  const untilOf = async (uri: string) => {
    const role = decodeURIComponent(new URL(uri).username);
    const [row] = await sql(cluster.superuserUrl(), 'SELECT rolvaliduntil FROM pg_roles WHERE rolname = $1', [role]);
    return row?.['rolvaliduntil'];
  };

  it('ends when the binding expires, a successor’s later, and never where bindings do not', async () => {
    const first = await platform.binding('ageing', 'b');
    const second = await platform.bind('ageing', 'later', { ...AGE, predecessor_binding_id: 'b' });
    for (const { body } of [first, second]) {
      const { uri } = body['credentials'] as Credentials;
      expect(await untilOf(uri)).toEqual(new Date((body['metadata'] as Record<string, string>)['expires_at'] ?? ''));
    }
    expect(await untilOf(credentials.uri)).toBe(Number.POSITIVE_INFINITY);
    expectDone(await platform.unbind('ageing', 'later', AGE), 200);
  });

  it('lets nobody in after that', async () => {
    expectDone(await platform.provision('brief', { plan_id: BRIEF }), 201);
    const { uri } = credentialsOf(await platform.bind('brief', 'b', { plan_id: BRIEF }));
    const refused = await until('the binding to expire', () =>
      session(uri).then(
        (client) => client.end().then(() => false as const),
        (error: Error) => error.message,
      ),
    );
    expect(refused).toMatch(/password authentication failed/);
  });
});

describe('rotation by predecessor_binding_id', () => {
  it('makes a new binding, and both work until the old one is unbound', async () => {
    const old = credentialsOf(await platform.binding('ageing', 'b'));
    const answer = await platform.bind('ageing', 'b-2', { ...AGE, predecessor_binding_id: 'b' });
    expectDone(answer, 201);
    const fresh = credentialsOf(answer);
    expect([fresh.username, fresh.password]).not.toEqual([old.username, old.password]);
    for (const { uri } of [old, fresh]) expect(await sql(uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expectDone(await platform.unbind('ageing', 'b', AGE), 200);
    await expect(session(old.uri)).rejects.toThrow();
    expect(await sql(fresh.uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('goes on from the successor', async () => {
    expectDone(await platform.bind('ageing', 'b-3', { ...AGE, predecessor_binding_id: 'b-2' }), 201);
    expectDone(await platform.bind('ageing', 'b-3', { ...AGE, predecessor_binding_id: 'b-2' }), 200);
  });

  it.each([
    ['unknown', 'absent'],
    ['of another instance', 'of-i'],
    ['expired', 'b-3'],
  ])('with a predecessor that is %s is 400, and changes nothing', async (what, predecessor) => {
    if (what === 'of another instance') expectDone(await platform.bind('i', 'of-i'), 201);
    if (what === 'expired')
      await broker.home.estate.state(`UPDATE service_binding SET expires_at = now() - interval '1 s' WHERE id = 'b-3'`);
    const before = await broker.home.estate.snapshot();
    const body: Json = { ...AGE, predecessor_binding_id: predecessor };
    expectRefused(await platform.bind('ageing', 'refused', body), 400, { says: /predecessor/ });
    expect(await broker.home.estate.snapshot()).toBe(before);
  });
});

describe('PUT binding of an instance whose plan is not bindable', () => {
  it('is 400, and nothing is made', async () => {
    expectDone(await platform.provision('unbound', { plan_id: UNBOUND }), 201);
    const before = await broker.home.estate.snapshot();
    expectRefused(await platform.bind('unbound', 'b', { plan_id: UNBOUND }), 400, {
      says: /plan_id: .*cannot be bound/,
    });
    expect(await broker.home.estate.snapshot()).toBe(before);
  });
});

const BRIEF = 'a-plan-of-brief-bindings';
const UNBOUND = 'a-plan-without-bindings';

function agedCatalog(): Json {
  const plan = { description: 'a plan' };
  return {
    catalog: {
      services: [
        {
          id: SERVICE,
          name: 'postgresql',
          description: 'databases',
          bindable: true,
          tags: ['postgresql', 'postgres', 'relational', 'database'],
          plans: [
            { ...plan, id: SMALL, name: 'lasting' },
            { ...plan, id: MEDIUM, name: 'ageing', binding_max_age: '24h' },
            { ...plan, id: BRIEF, name: 'brief', binding_max_age: '1s' },
            { ...plan, id: UNBOUND, name: 'unbound', bindable: false },
          ],
        },
      ],
    },
  };
}

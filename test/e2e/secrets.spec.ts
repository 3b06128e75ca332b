import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectDone } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { secret } from '../support/broker-home.js';
import { type Answer, basic } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { leakingLines } from '../support/leaking-lines.mjs';
import { credentialsOf, MEDIUM } from '../support/platform.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let stateCluster: Cluster;
let broker: SpawnedBroker;
const secrets = new Map<string, string>();

beforeAll(async () => {
  [cluster, stateCluster] = await Promise.all([startCluster(), startCluster()]);
  broker = await spawnBroker({ cluster, stateCluster, config: { log: { level: 'trace' } } });
  const { platform, admin, encryptionKey, stateUrl } = broker.home;
  keep("the platform's password", platform.password);
  keep("the admin's password", admin.password);
  keep("the platform's header", basic(platform).slice('Basic '.length));
  keep("the admin's header", basic(admin).slice('Basic '.length));
  keep('the encryption key', encryptionKey);
  keep("the state database's password", new URL(stateUrl).password);
  keep("the server's password", new URL(cluster.brokerUrl()).password);
});

afterAll(async () => {
  await broker?.stop();
  await Promise.all([cluster?.remove(), stateCluster?.remove()]);
});

function keep(what: string, value: string): void {
  expect(value.length).toBeGreaterThan(8);
  secrets.set(value, what);
}

function keepBinding(what: string, answer: Answer): void {
  const { password, uri, jdbcUrl } = credentialsOf(answer);
  keep(`the password of ${what}`, password);
  keep(`the uri of ${what}`, uri);
  keep(`the jdbcUrl of ${what}`, jdbcUrl);
}

async function keepVerifiers(): Promise<void> {
  const rows = await sql(
    cluster.superuserUrl(),
    'SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL',
  );
  for (const { rolname, rolpassword } of rows) {
    const [, salt = '', keys = ''] = String(rolpassword).split('$').slice(0, 3);
    keep(`the salt of ${String(rolname)}`, salt.split(':')[1] ?? '');
    for (const key of keys.split(':')) keep(`a verifier of ${String(rolname)}`, key);
  }
}

it('no password, key, verifier or URL of a whole tour, errors included, is in the log at level trace', async () => {
  const { platform, admin } = broker;
  const wrong = { username: 'platform', password: secret() };
  keep('a wrong password', wrong.password);
  expect((await platform.as(wrong).catalog()).status).toBe(401);
  expect((await admin.as(wrong).get('/operations')).status).toBe(401);

  expectDone(await platform.provision('i', { parameters: { extensions: ['citext'] } }), 201);
  keepBinding('the first binding', await platform.bind('i', 'b-1'));
  keepBinding('the reader', await platform.bind('i', 'b-2', { parameters: { access: 'read-only' } }));
  keepBinding('the successor', await platform.bind('i', 'b-3', { predecessor_binding_id: 'b-1' }));
  await keepVerifiers();
  expectDone(await platform.binding('i', 'b-1'), 200);
  expectDone(await platform.bind('i', 'b-1'), 200);
  expect((await platform.bind('i', 'b-1', { parameters: { access: 'read-only' } })).status).toBe(409);
  expectDone(await platform.update('i', { plan_id: MEDIUM }), 200);

  const inParameters = secret();
  keep('a secret in refused parameters', inParameters);
  expect((await platform.bind('i', 'b-4', { parameters: { access: 'x', password: inParameters } })).status).toBe(400);
  expect((await platform.send('PUT', '/v2/service_instances/x', { raw: `{"password":"${inParameters}"` })).status).toBe(
    400,
  );
  const inQuery = await platform.get('/v2/catalog', { query: { access_token: inParameters } });
  expect(inQuery.status).toBe(200);

  const open = await session(credentialsOf(await platform.binding('i', 'b-1')).uri);
  expectDone(await platform.unbind('i', 'b-1', { plan_id: MEDIUM }), 200);
  await open.end().catch(() => undefined);

  await cluster.stop('immediate');
  expect((await platform.bind('i', 'b-5', { plan_id: MEDIUM })).status).toBe(503);
  expect((await platform.unbind('i', 'b-2', { plan_id: MEDIUM })).status).toBe(503);
  await cluster.start();
  await stateCluster.stop('immediate');
  expect((await platform.bind('i', 'b-6', { plan_id: MEDIUM })).status).toBe(503);
  await stateCluster.start();
  await until(
    'the broker to work again',
    async () => (await platform.unbind('i', 'b-2', { plan_id: MEDIUM })).status !== 503,
  );
  await until(
    'the last binding to go',
    async () => (await platform.unbind('i', 'b-3', { plan_id: MEDIUM })).status === 410,
  );
  expectDone(await platform.deprovision('i', { plan_id: MEDIUM }), 200);
  expect(await broker.stop()).toBe(0);

  expect(broker.log.length).toBeGreaterThan(20);
  expectNoneIn(broker.log);
  for (const { text } of [inQuery]) expectNoneIn([text]);
});

it('nor in what is said about a wrong configuration', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'config-'));
  const file = join(folder, 'broker.json');
  const config = {
    ...broker.home.config,
    surprise: true,
    http: { port: 'x' },
    admin: { credentials: [{ password: 7 }] },
  };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  const main = join(import.meta.dirname, '../../dist/main.js');
  const run = spawnSync(process.execPath, [main], { env: { BROKER_CONFIG: file }, encoding: 'utf8' });
  await rm(folder, { recursive: true });
  expect(run.status).toBe(78);
  expect(run.stderr).toMatch(/http\.port/);
  expect(run.stderr).toMatch(/surprise/);
  expectNoneIn([...run.stdout.split('\n'), ...run.stderr.split('\n')]);
});

it('nor in any log of the whole run, which is searched at its end for all that was drawn in it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'run-'));
  const drawn = ['a+b/c'.repeat(4), 'quoted"and\\'.repeat(2), 'harmless-in-this-run'];
  const [key = '', quoted = ''] = drawn;
  const log = [`x ${key} y`, `u=${encodeURIComponent(key)}`, JSON.stringify({ quoted }), 'nothing of it', key.slice(1)];
  await Promise.all(['secrets', 'logs'].map((kind) => mkdir(join(folder, kind))));
  await writeFile(join(folder, 'secrets', '1'), drawn.map((secret) => JSON.stringify(secret)).join('\n'));
  await writeFile(join(folder, 'logs', '2'), log.join('\n'));
  expect(leakingLines(folder)).toEqual(['x ***** y', 'u=*****', '{"quoted":"*****"}']);
  await rm(folder, { recursive: true });
});

function expectNoneIn(lines: string[]): void {
  const found = [...secrets].flatMap(([value, what]) =>
    lines
      .filter((line) => line.includes(value))
      .map((line) => `${what} in: ${line.replaceAll(value, '*****').slice(0, 400)}`),
  );
  expect(found).toEqual([]);
}

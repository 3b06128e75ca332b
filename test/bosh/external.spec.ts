import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Json } from '../support/client.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';
import { boshRun } from './bosh-run.js';
import { ODD } from './property-sets.js';
import { brokerJob, Deployed, drawPorts, expectStatus, postgresJob } from './vm/deployment.js';
import { steps } from './vm/steps.js';
import { Vm } from './vm/vm.js';

/** A VM with a PostgreSQL, and two with a broker each that know it by properties only. */
describe('brokers with an external PostgreSQL, emulated', () => {
  const step = steps();
  const vms: Vm[] = [];
  const stores: string[] = [];
  let brokers: Deployed[];
  let uri: string;

  beforeAll(async () => {
    const server = await drawPorts();
    const postgres = new Deployed(await newVm(), server, [postgresJob(server)]);
    await postgres.agent.apply();
    await postgres.agent.start();
    brokers = [];
    for (const name of ['first', 'second']) {
      const ports = await drawPorts();
      const properties = { ...external(server.postgres), release_level_backup: true, operations: { grace: '2s' } };
      brokers.push(new Deployed(await newVm(name), ports, [brokerJob(ports, undefined, properties)]));
    }
    for (const { agent } of brokers) await agent.apply();
  });
  afterAll(async () => {
    for (const vm of vms) await vm.destroy();
    for (const store of stores) rmSync(store, { recursive: true, force: true });
  });

  const newVm = async (name = 'postgres'): Promise<Vm> => {
    const store = mkdtempSync(join(boshRun().folder, `store-${name}-`));
    stores.push(store);
    const vm = await Vm.create(store);
    vms.push(vm);
    return vm;
  };
  const at = (index: number): Deployed => {
    const broker = brokers[index];
    if (!broker) throw new Error('no such broker');
    return broker;
  };

  step('serve the same instances', async () => {
    for (const { agent } of brokers) await agent.start();
    await at(0).instance('shared');
    uri = await at(1).bind('shared', 'one');
    await sql(uri, "CREATE TABLE words (word text); INSERT INTO words VALUES ('first')");
  });

  step('hand over: when the VM of one is lost, the other goes on with its work', async () => {
    const holder = await session(uri);
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE words IN ACCESS EXCLUSIVE MODE');
    const headers = { prefer: 'respond-async' };
    const begun = at(0).admin.send('POST', '/backup_instance/shared', { query: { name: 'taken-over' }, headers });
    const operation = String((await expectStatus(202, begun)).body['id']);
    const seen = () => sql(uri, "SELECT FROM pg_locks WHERE relation = 'words'::regclass AND NOT granted");
    const runner = await until('the dump to wait', async () => {
      const { body } = await at(1).admin.get(`/operations/${operation}`);
      return body['phase'] === 'dumping' && (await seen()).length > 0;
    });
    expect(runner).toBe(true);
    const own = await at(0).vm.run('pgrep -x pg_dump || true');
    const [lost, other] = own === '' ? [at(1), at(0)] : [at(0), at(1)];
    await lost.vm.destroy();
    vms.splice(vms.indexOf(lost.vm), 1);
    await holder.end();
    expect(await other.ended(operation)).toMatchObject({ state: 'succeeded', attempt: 2 });
    expect((await other.admin.get('/backups/shared/taken-over')).body).toMatchObject({ state: 'available' });
    brokers = [other];
  });

  step('are backed up by bbr: the state database', async () => {
    mkdirSync(join(at(0).vm.root, 'data', 'bbr'));
    const bbr = (name: string) =>
      at(0).agent.script('postgres-broker', `bbr/${name}`, 'BBR_ARTIFACT_DIRECTORY=/var/vcap/data/bbr');
    await bbr('pre-backup-lock');
    await expect(at(0).admin.get('/healthz')).rejects.toThrow();
    await bbr('backup');
    await bbr('post-backup-unlock');
    await at(0).bind('shared', 'later');
    await bbr('pre-restore-lock');
    await bbr('restore');
    await bbr('post-restore-unlock');
    expect((await at(0).platform.binding('shared', 'one')).body['credentials']).toMatchObject({ uri });
    expect((await at(0).platform.binding('shared', 'later')).status).toBe(404);
  });
});

/** The roles and the database that an operator makes there; here the other VM's job has made them. */
function external(port: number): Json {
  const url = (role: string, database: string) =>
    `postgres://${role}:${encodeURIComponent(`${ODD} of ${role}`)}@127.0.0.1:${port}/${database}`;
  return {
    state: {
      url: url('broker_state', 'broker_state'),
      encryption_keys: [{ id: 'first', secret: `${'k'.repeat(43)}=` }],
    },
    servers: [{ name: 'default', url: url('broker', 'postgres') }],
  };
}

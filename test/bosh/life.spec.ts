import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { type Json } from '../support/client.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';
import { boshRun } from './bosh-run.js';
import { brokerJob, Deployed, drawPorts, expectStatus, type Ports, postgresJob } from './vm/deployment.js';
import { steps } from './vm/steps.js';
import { Vm } from './vm/vm.js';

const LOGS = '/var/vcap/sys/log';
/** As BOSH's agent configures it on every VM. */
const LOGROTATE = `${LOGS}/*.log ${LOGS}/*/*.log ${LOGS}/*/*/*.log {
  missingok
  rotate 7
  compress
  copytruncate
  size=1
  su root root
}
`;

/** One VM after the other with the same persistent disk; each test goes on where the one before has ended. */
describe('the life of the jobs, emulated', () => {
  const step = steps();
  let store: string;
  let ports: Ports;
  let deployed: Deployed;
  let uri: string;
  let revoked: string;
  const jobs = (postgres: Json = {}, broker: Json = {}) => {
    const server = postgresJob(ports, { release_level_backup: true, ...postgres });
    return [
      server,
      brokerJob(ports, server, {
        release_level_backup: true,
        open_files: 4000,
        operations: { grace: '60s' },
        ...broker,
      }),
    ];
  };
  /** Its dump waits for a table that the session holds. */
  const beginHeldBackup = async (holder: pg.Client, name: string): Promise<string> => {
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE words IN ACCESS EXCLUSIVE MODE');
    const headers = { prefer: 'respond-async' };
    const begun = deployed.admin.send('POST', '/backup_instance/life', { query: { name }, headers });
    const operation = String((await expectStatus(202, begun)).body['id']);
    await until('the dump to wait', async () => {
      const { body } = await deployed.admin.get(`/operations/${operation}`);
      if (body['phase'] !== 'dumping') return false;
      const waiting = "SELECT FROM pg_locks WHERE relation = 'words'::regclass AND NOT granted";
      return ((await holder.query(waiting)) as { rowCount: number }).rowCount > 0;
    });
    return operation;
  };
  const words = (of = uri) =>
    sql(of, 'SELECT word FROM words ORDER BY word').then((rows) => rows.map(({ word }) => word));

  beforeAll(async () => {
    store = mkdtempSync(join(boshRun().folder, 'store-'));
    ports = await drawPorts();
    deployed = new Deployed(await Vm.create(store), ports, jobs());
  });
  afterAll(async () => {
    await deployed.vm.destroy();
    rmSync(store, { recursive: true, force: true });
  });

  step('installs and starts', async () => {
    await deployed.agent.apply();
    await deployed.agent.start();
    expect(await deployed.agent.status('postgres-broker')).toMatch(/running|ok/i);
    expect((await deployed.admin.get('/readyz')).body).toEqual({
      status: 'ready',
      state: { reachable: true },
      // Without warnings: nothing is left to put right.
      servers: [{ name: 'default', reachable: true, accepts_new: true }],
    });
  });

  step('gives the broker no more than it needs', async () => {
    const { agent, vm } = deployed;
    const status = await vm.run(
      `grep -E '^(Uid|NoNewPrivs|CapEff)' /proc/${await agent.pid('postgres-broker')}/status`,
    );
    expect(status).toMatch(/Uid:\t1000\t1000/);
    expect(status).toMatch(/NoNewPrivs:\t1/);
    expect(await vm.run(`grep 'open files' /proc/${await agent.pid('postgres-broker')}/limits`)).toMatch(/4000/);
    expect(await vm.run('stat -c "%U %a" /var/vcap/store/postgres-broker /var/vcap/store/postgres')).toBe(
      'vcap 700\nvcap 700\n',
    );
    const psql = `/var/vcap/packages/postgres-15/bin/psql -h /var/vcap/data/postgres/socket -p ${ports.postgres} -d postgres`;
    // The VM's root is the superuser; vcap, by whom the broker runs, is nobody there.
    expect(await vm.run(`${psql} -U postgres -Atc 'SELECT current_user'`)).toBe('postgres\n');
    await expect(vm.run(`runuser -u vcap -- ${psql} -U postgres -c 'SELECT 1'`)).rejects.toThrow();
    await expect(sql(`postgres://postgres@127.0.0.1:${ports.postgres}/postgres`, 'SELECT 1')).rejects.toThrow(/pg_hba/);
  });

  step('serves: an instance, bindings, data, a backup', async () => {
    await deployed.instance('life');
    uri = await deployed.bind('life', 'stays');
    revoked = await deployed.bind('life', 'goes');
    await sql(uri, 'CREATE TABLE words (word text PRIMARY KEY)');
    await sql(uri, "INSERT INTO words VALUES ('first')");
    await expectStatus(200, deployed.platform.unbind('life', 'goes'));
    expect(await deployed.backUp('life', 'one-word')).toMatchObject({ storage: 'local', rows: 1 });
    expect(await deployed.vm.run('ls /var/vcap/store/postgres-broker/backups/life')).toMatch(
      /one-word\.dump\none-word\.json\n/,
    );
  });

  step('is started again by monit when the broker is killed', async () => {
    const { agent, vm, platform } = deployed;
    const killed = await agent.pid('postgres-broker');
    await vm.run(`kill -9 ${killed}`);
    await until(
      'another process of the broker',
      async () => (await agent.pid('postgres-broker').catch(() => killed)) !== killed,
    );
    await deployed.ready();
    expect((await platform.binding('life', 'stays')).body['credentials']).toMatchObject({ uri });
    expect(await words()).toEqual(['first']);
  });

  step('is started again by monit when the server is killed', async () => {
    const { agent, vm } = deployed;
    const killed = await agent.pid('postgres');
    await vm.run(`kill -9 ${killed}; pkill -9 -f '^/var/vcap/packages/postgres-15/bin/postgres' || true`);
    await until(
      'another process of the server',
      async () => (await agent.pid('postgres').catch(() => killed)) !== killed,
    );
    await agent.script('postgres', 'post-start');
    expect(await words()).toEqual(['first']);
    await deployed.ready();
  });

  step('writes its log where it is forwarded from, and goes on when that was rotated', async () => {
    const { vm } = deployed;
    const log = `${LOGS}/postgres-broker/postgres-broker.stdout.log`;
    expect(await vm.run(`head -n 1 ${log}`)).toMatch(/^\{"level"/);
    await vm.run(
      `mkdir -p /var/vcap/etc; cat >/var/vcap/etc/logrotate <<'EOF'\n${LOGROTATE}EOF\nchmod 644 /var/vcap/etc/logrotate; logrotate -s /var/vcap/etc/logrotate.state /var/vcap/etc/logrotate`,
    );
    expect(await vm.run(`ls ${LOGS}/postgres-broker`)).toContain('postgres-broker.stdout.log.1.gz');
    await deployed.platform.catalog();
    await until('a line in the new log', () => vm.run(`head -c 7 ${log}`).then((text) => text === '{"level'));
  });

  step('drains: a backup that runs ends within its grace', async () => {
    const holder = await session(uri);
    const operation = await beginHeldBackup(holder, 'in-grace');
    const stopped = deployed.agent.stop();
    await until('the broker to refuse work', () => refusesWork(deployed));
    await holder.end();
    expect(await stopped).toEqual(['0', '0']);
    await deployed.agent.apply(jobs({}, { operations: { grace: '2s' } }));
    await deployed.agent.start();
    expect(await deployed.ended(operation)).toMatchObject({ state: 'succeeded', attempt: 1 });
  });

  step('drains: a backup that takes longer than its grace goes on after the update', async () => {
    await sql(uri, "INSERT INTO words VALUES ('second')");
    const holder = await session(uri);
    const operation = await beginHeldBackup(holder, 'handed-over');
    expect(await deployed.agent.stop()).toEqual(['0', '0']);
    await holder.end().catch(() => undefined);
    await updatePackage(deployed.vm);
    await deployed.agent.apply(jobs());
    await deployed.agent.start();
    expect(await deployed.ended(operation)).toMatchObject({ state: 'succeeded', attempt: 2 });
    expect((await deployed.admin.get('/backups/life/handed-over')).body).toMatchObject({ state: 'available' });
  });

  step('has everything after the update', async () => {
    const pid = await deployed.agent.pid('postgres');
    const running = await deployed.vm.run(`for p in $(pgrep -P ${pid} -x postgres); do readlink /proc/$p/exe; done`);
    expect(running).toBe('/var/vcap/data/packages/postgres-15/second/bin/postgres\n');
    expect(await words()).toEqual(['first', 'second']);
    await expect(sql(revoked, 'SELECT 1')).rejects.toThrow();
    await deployed.restore('life', 'one-word');
    expect(await words()).toEqual(['first']);
    await expectStatus(200, deployed.admin.send('POST', '/undo_restore/life'));
    expect(await words()).toEqual(['first', 'second']);
  });

  step('makes all indexes anew when the libraries have changed, once', async () => {
    const index = () => sql(uri, "SELECT pg_relation_filenode('words_pkey') AS file").then(([row]) => row?.['file']);
    const noted = join(store, 'postgres', 'postgres-15', 'collation-libraries');
    const before = await index();
    await deployed.agent.stop();
    const libraries = readFileSync(noted, 'utf8');
    expect(libraries).toMatch(/^glibc \S+\nicu \S+\n$/);
    // As if the data folder came from a stemcell with an older C library.
    writeFileSync(noted, libraries.replace(/glibc \S+/, 'glibc 2.17'));
    await deployed.agent.start();
    const after = await index();
    expect(after).not.toBe(before);
    expect(readFileSync(noted, 'utf8')).toBe(libraries);
    await deployed.agent.stop();
    await deployed.agent.start();
    expect(await index()).toBe(after);
  });

  step('has everything on a new VM with the persistent disk', async () => {
    await deployed.vm.destroy();
    deployed = new Deployed(await Vm.create(store), ports, jobs());
    await deployed.agent.apply();
    await deployed.agent.start();
    expect(await words()).toEqual(['first', 'second']);
    const { backups } = (await deployed.admin.get('/backups/life')).body as { backups: Json[] };
    expect(backups.map(({ backup_name, state }) => [backup_name, state])).toEqual(
      expect.arrayContaining([
        ['one-word', 'available'],
        ['handed-over', 'available'],
      ]),
    );
    expect((await deployed.platform.binding('life', 'stays')).body['credentials']).toMatchObject({ uri });
  });

  step('comes up by itself when the VM is booted again', async () => {
    await deployed.agent.stop();
    // The folder below data may have been emptied.
    await deployed.vm.run('rm -rf /var/vcap/data/postgres /var/vcap/data/postgres-broker');
    await deployed.agent.boot();
    await deployed.ready();
    expect(await words()).toEqual(['first', 'second']);
  });

  step('is backed up and restored by the scripts of bbr', async () => {
    const artifact = join(deployed.vm.root, 'data', 'bbr');
    mkdirSync(artifact);
    const bbr = (job: string, name: string) =>
      deployed.agent.script(job, `bbr/${name}`, 'BBR_ARTIFACT_DIRECTORY=/var/vcap/data/bbr');
    expect(await bbr('postgres', 'metadata')).toMatch(/skip_bbr_scripts: false/);
    for (const script of ['pre-backup-lock', 'backup', 'post-backup-unlock'])
      for (const job of ['postgres-broker', ...(script === 'backup' ? ['postgres'] : [])]) await bbr(job, script);
    // What happens after the backup is lost by the restore.
    await sql(uri, "INSERT INTO words VALUES ('later')");
    await expectStatus(200, deployed.platform.unbind('life', 'stays'));
    await bbr('postgres-broker', 'pre-restore-lock');
    await expect(deployed.admin.get('/healthz')).rejects.toThrow();
    for (const job of ['postgres', 'postgres-broker']) await bbr(job, 'restore');
    await bbr('postgres-broker', 'post-restore-unlock');
    expect((await deployed.platform.binding('life', 'stays')).body['credentials']).toMatchObject({ uri });
    expect(await words()).toEqual(['first', 'second']);
  });

  step('refuses to restore what is no whole backup, and touches nothing', async () => {
    const artifact = join(deployed.vm.root, 'data', 'bbr', 'server', 'base.tar.gz');
    writeFileSync(artifact, readFileSync(artifact).subarray(0, 1_000_000));
    await expect(
      deployed.agent.script('postgres', 'bbr/restore', 'BBR_ARTIFACT_DIRECTORY=/var/vcap/data/bbr'),
    ).rejects.toThrow();
    expect(await words()).toEqual(['first', 'second']);
  });
});

async function refusesWork({ admin }: Deployed): Promise<boolean> {
  const answer = await admin.get('/readyz').catch(() => undefined);
  return answer?.status !== 200;
}

/** The same programs in a folder of another version: Debian serves the source of one 15.x only. */
async function updatePackage(vm: Vm): Promise<void> {
  const folder = '/var/vcap/data/packages/postgres-15';
  await vm.run(`mkdir ${folder}/second; cp -a ${folder}/first/. ${folder}/second/`);
  await vm.usePackage('postgres-15', 'second');
}

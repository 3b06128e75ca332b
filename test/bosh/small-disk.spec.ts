import { sql } from '../support/sql.js';
import { brokerJob, Deployed, drawPorts, expectStatus, postgresJob } from './vm/deployment.js';
import { steps } from './vm/steps.js';
import { Vm } from './vm/vm.js';

const MIB = 1024 * 1024;

describe('a VM whose persistent disk is nearly full, emulated', () => {
  const step = steps();
  let deployed: Deployed;
  let uri: string;

  beforeAll(async () => {
    const ports = await drawPorts();
    const server = postgresJob(ports);
    deployed = new Deployed(await Vm.create({ bytes: 400 * MIB }), ports, [server, brokerJob(ports, server)]);
    await deployed.agent.apply();
    await deployed.agent.start();
    await deployed.instance('small');
    uri = await deployed.bind('small', 'one');
    await sql(uri, 'CREATE TABLE heap (bytes bytea)');
    await sql(uri, 'ALTER TABLE heap ALTER bytes SET STORAGE EXTERNAL');
    // What does not compress: an archive of 30 MiB.
    const noise = "decode(string_agg(md5(random()::text || j), ''), 'hex')";
    await sql(
      uri,
      `INSERT INTO heap SELECT ${noise} FROM generate_series(1, 30) i, generate_series(1, 65536) j GROUP BY i`,
    );
    await deployed.backUp('small', 'before');
  });
  afterAll(() => deployed.vm.destroy());

  const fillUp = (left: number) =>
    deployed.vm.run(
      'free=$(df --output=avail -B1 /var/vcap/store | tail -n 1); fallocate -l $((free - $1)) /var/vcap/store/filler',
      String(left),
    );

  step('refuses a backup for which there is no room, and leaves nothing of it', async () => {
    await fillUp(12 * MIB);
    const answer = await deployed.admin.send('POST', '/backup_instance/small', { query: { name: 'too-big' } });
    expect([answer.status, ['spool_full', 'storage_full'].includes(String(answer.body['code']))]).toEqual([507, true]);
    expect(await deployed.vm.run('ls /var/vcap/store/postgres-broker/backups/small')).not.toContain('too-big');
    expect(await deployed.vm.run('find /var/vcap/store/postgres-broker/spool -type f')).toBe('');
  });

  step('goes on serving meanwhile', async () => {
    expect((await deployed.admin.get('/readyz')).status).toBe(200);
    expect(await sql(uri, 'SELECT count(*)::int AS rows FROM heap')).toEqual([{ rows: 30 }]);
    const other = await deployed.bind('small', 'two');
    expect(await sql(other, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await expectStatus(200, deployed.platform.unbind('small', 'two'));
    expect((await deployed.admin.get('/backups/small/before')).body).toMatchObject({ state: 'available' });
  });

  step('can be stopped and started, and backs up again when there is room', async () => {
    await deployed.agent.stop();
    await deployed.agent.start();
    await deployed.vm.run('rm /var/vcap/store/filler');
    await deployed.backUp('small', 'after');
    expect((await deployed.admin.get('/backups/small/after')).body).toMatchObject({ state: 'available' });
  });
});

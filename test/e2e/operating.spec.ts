import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROJECT } from '../../embedded/project.mjs';
import { backupPath, makeBackup, s3Storage, tenantOf } from '../support/backups.js';
import { type RunningBroker, type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type BrokerHome, secret } from '../support/broker-home.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { pasteAll } from '../support/paste.js';
import { credentialsOf } from '../support/platform.js';
import { documentBlocks } from '../support/readme.js';
import { type S3Server, startS3Server } from '../support/s3-server.js';
import { sql } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let second: Cluster;

beforeAll(async () => {
  [cluster, second] = await Promise.all([startCluster(), startCluster()]);
});

afterAll(() => Promise.all([cluster, second].map((each) => each.remove())));

function recipe(heading: string, language: string): string[] {
  return documentBlocks('docs/operating.md', heading, language);
}

/** The line of a shell as the document has it, with the tour's `admin` and `$broker`. */
async function pasted(broker: RunningBroker, text: string, variables: Record<string, string> = {}): Promise<string> {
  const { username, password } = broker.home.admin;
  const admin = `admin() { curl --silent --show-error --fail-with-body --user "${username}:${password}" "$@"; }`;
  const env = { broker: broker.url, NODE_OPTIONS: '', ...variables };
  return pasteAll(['bash', '-euo', 'pipefail', '-c', `${admin}\n${text}`], { env });
}

/** Another node on the same state database. */
async function elsewhere(home: BrokerHome): Promise<BrokerHome> {
  const dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  return { ...home, dataDir, config: { ...home.config, data_dir: dataDir } };
}

/** Another home with the configuration laid over: what a change of the file is to the next start. */
function changed(home: BrokerHome, config: Json): BrokerHome {
  return { ...home, config: { ...home.config, ...config } };
}

async function replaced(broker: SpawnedBroker, home: BrokerHome): Promise<SpawnedBroker> {
  expect(await broker.stop()).toBe(0);
  return spawnBroker({ home });
}

describe('rotating', () => {
  it('an encryption key: in the three steps every binding can be read at each broker, and the old key may go', async () => {
    let one = await spawnBroker({ cluster });
    let other = await spawnBroker({ home: await elsewhere(one.home) });
    await tenantOf(one, cluster, 'keys');
    const bound = credentialsOf(await one.platform.bind('keys', 'first'));
    const former = { id: 'first', secret: one.home.encryptionKey };
    const next = { id: 'next', secret: randomBytes(32).toString('base64') };
    const url = one.home.stateUrl;
    for (const encryption_keys of [[former, next], [next, former], [next]]) {
      const state = { url, encryption_keys };
      one = await replaced(one, changed(one.home, { state }));
      for (const broker of [one, other])
        expect(credentialsOf(await broker.platform.binding('keys', 'first'))).toEqual(bound);
      other = await replaced(other, changed(other.home, { state }));
      expect(credentialsOf(await other.platform.binding('keys', 'first'))).toEqual(bound);
      if (encryption_keys[0] === next)
        await until('every binding to be sealed anew', async () => {
          const [row, ...more] = await one.home.estate.state(recipe('Rotating without a gap', 'sql')[0] ?? '');
          return more.length === 0 && row?.['key'] === 'next';
        });
    }
  });

  it('a password of the platform: both are good until the old one is taken away', async () => {
    let broker = await spawnBroker({ cluster });
    const former = broker.home.platform;
    const next = { username: 'platform-2', password: secret() };
    const steps: [Json[], number, number][] = [
      [[{ ...former }, next], 200, 200],
      [[next], 401, 200],
    ];
    for (const [credentials, ofFormer, ofNext] of steps) {
      broker = await replaced(broker, changed(broker.home, { platform: { credentials } }));
      expect((await broker.platform.as(former).catalog()).status).toBe(ofFormer);
      expect((await broker.platform.as(next).catalog()).status).toBe(ofNext);
    }
  });

  it("the server's role: a second login goes on with what the first has made", async () => {
    const own = recipe('Rotating without a gap', 'sql')[1] ?? '';
    const [role = ''] = /\w+$/.exec(new URL(cluster.brokerUrl()).username) ?? [];
    const password = secret();
    await sql(
      cluster.superuserUrl(),
      own
        .replaceAll('broker_2', 'rotated')
        .replace(/\bbroker\b/g, role)
        .replace('...', password),
    );
    let broker = await spawnBroker({ cluster });
    const tenant = await tenantOf(broker, cluster, 'roles');
    await tenant.run('CREATE TABLE item (id int); INSERT INTO item VALUES (1)');
    const url = new URL(cluster.brokerUrl());
    Object.assign(url, { username: 'rotated', password });
    const servers = [{ name: 'default', url: url.href, sslmode: 'disable' }];
    broker = await replaced(broker, changed(broker.home, { servers }));
    await sql(cluster.superuserUrl(), `ALTER ROLE ${role} PASSWORD NULL`);
    expect((await broker.platform.bind('roles', 'app')).status).toBe(201);
    expect((await broker.platform.provision('later')).status).toBe(201);
    expect((await makeBackup(broker, 'roles', { name: 'b' })).status).toBe(201);
    expect((await broker.admin.send('POST', '/restore_instance/roles/b')).status).toBe(200);
    await broker.kill();
    broker = await spawnBroker({ home: broker.home });
    expect((await broker.platform.unbind('roles', 'app')).status).toBe(200);
    for (const id of ['roles', 'later']) expect((await broker.platform.deprovision(id)).status).toBe(200);
    expect((await broker.admin.get('/readyz')).body).toMatchObject({
      servers: [{ reachable: true, accepts_new: true }],
    });
    const restored = new URL(cluster.brokerUrl()).password;
    await sql(cluster.superuserUrl(), `ALTER ROLE ${role} PASSWORD '${decodeURIComponent(restored)}'`);
  });
});

describe('rotating, too:', () => {
  it('the role of the state database', async () => {
    let broker = await spawnBroker({ cluster });
    await tenantOf(broker, cluster, 'states');
    const url = new URL(broker.home.stateUrl);
    const block = recipe('Rotating without a gap', 'sql')[1] ?? '';
    const password = secret();
    const statements = block.replaceAll('broker_2', `${url.username}_2`).replace(/\bbroker\b/g, url.username);
    await sql(cluster.superuserUrl(), statements.replace('...', password));
    const next = Object.assign(new URL(url), { username: `${url.username}_2`, password });
    const state = { ...(broker.home.config['state'] as Json), url: next.href };
    broker = await replaced(broker, changed(broker.home, { state }));
    await sql(cluster.superuserUrl(), `ALTER ROLE ${url.username} PASSWORD NULL`);
    expect((await broker.platform.bind('states', 'app')).status).toBe(201);
    expect((await makeBackup(broker, 'states')).status).toBe(201);
    expect(await broker.stop()).toBe(0);
  });

  it('the keys of a bucket: the second one with the rights of the README alone, before the first one goes', async () => {
    const server = await startS3Server();
    try {
      const bucket = await server.makeBucket();
      let broker = await spawnBroker({ cluster, config: { storages: [s3Storage(server, bucket)] } });
      await tenantOf(broker, cluster, 'my-db');
      expect((await makeBackup(broker, 'my-db', { name: 'one', storage: 's3' })).status).toBe(201);
      const { accessKeyId, secretAccessKey } = server.stranger;
      await server.client.putBucketPolicy({ Bucket: bucket, Policy: rightsOfTheReadme(bucket, accessKeyId) });
      const second = s3Storage(server, bucket, { access_key_id: accessKeyId, secret_access_key: secretAccessKey });
      broker = await replaced(broker, changed(broker.home, { storages: [second] }));
      expect((await makeBackup(broker, 'my-db', { name: 'two', storage: 's3' })).status).toBe(201);
      for (const name of ['one', 'two'])
        expect((await broker.admin.send('POST', `/restore_instance/my-db/${name}`)).status).toBe(200);
      expect((await broker.admin.delete(backupPath('my-db', 'one'))).status).toBe(200);
      expect((await broker.admin.send('POST', '/storages/s3/rescan')).body).toMatchObject({ missing: [], damaged: [] });
      await broker.stop();
    } finally {
      await server.remove();
    }
  });
});

/** Those that it says a key needs, and no others. */
function rightsOfTheReadme(bucket: string, user: string): string {
  const [, list = ''] = /the key needs ([^]*?) on it\./.exec(readFileSync(join(PROJECT, 'README.md'), 'utf8')) ?? [];
  const rights = [...list.matchAll(/`(?:s3:)?(\w+)`/g)].map(([, right]) => `s3:${right}`);
  const [onBucket, onObjects] = [true, false].map((whole) =>
    rights.filter((right) => /^s3:ListBucket/.test(right) === whole),
  );
  const statement = (Action: string[] | undefined, Resource: string) => ({
    Effect: 'Allow',
    Principal: { AWS: [user] },
    Action,
    Resource,
  });
  const Statement = [statement(onBucket, `arn:aws:s3:::${bucket}`), statement(onObjects, `arn:aws:s3:::${bucket}/*`)];
  return JSON.stringify({ Version: '2012-10-17', Statement });
}

describe('moving', () => {
  it('an instance goes to another server by backup and restore, and the first one can leave', async () => {
    let broker = await spawnBroker({ clusters: [cluster, second] });
    const servers = broker.home.config['servers'] as Json[];
    const only = (accepting: number) =>
      servers.map((server, index) => ({ ...server, accepts_new: index === accepting }));
    broker = await replaced(broker, changed(broker.home, { servers: only(0) }));
    const tenant = await tenantOf(broker, cluster, 'my-db');
    await tenant.run('CREATE TABLE item (id int); INSERT INTO item VALUES (1), (2)');
    broker = await replaced(broker, changed(broker.home, { servers: only(1) }));
    await tenantOf(broker, second, 'new-db');
    const [block = ''] = recipe('Moving an instance to another server', 'sh');
    expect(await pasted(broker, block)).toContain('"rows":2');
    expect((await broker.platform.deprovision('my-db')).status).toBe(200);
    const rows = await broker.home.estate.state(recipe('Several servers', 'sql')[0] ?? '');
    expect(rows).toEqual([{ server: 'server-2', count: '1' }]);
    broker = await replaced(broker, changed(broker.home, { servers: [{ ...servers[1] }] }));
    const { uri } = credentialsOf(await broker.platform.bind('new-db', 'app'));
    expect(await sql(uri, 'SELECT count(*)::int AS count FROM item')).toEqual([{ count: 2 }]);
    await broker.stop();
  });
});

describe('what is lost', () => {
  it('the state database: the catalogue of backups comes back, and the instance under its old id', async () => {
    const first = await spawnBroker({ cluster });
    const tenant = await tenantOf(first, cluster, 'my-db');
    await tenant.run('CREATE TABLE item (id int); INSERT INTO item VALUES (1), (2)');
    expect((await makeBackup(first, 'my-db', { name: 'kept' })).status).toBe(201);
    await first.stop();
    const empty = await spawnBroker({ cluster });
    const storages = [{ name: 'local', type: 'local', path: join(first.home.dataDir, 'backups') }];
    const broker = await replaced(empty, changed(empty.home, { storages }));
    expect(await pasted(broker, 'admin --request POST "$broker/storages/local/rescan"')).toContain('"added":[{');
    expect((await broker.platform.provision('my-db')).status).toBe(201);
    const restored = await pasted(broker, 'admin --request POST "$broker/restore_instance/my-db/latest"');
    expect(restored).toContain('"rows":2');
    const { uri } = credentialsOf(await broker.platform.bind('my-db', 'app'));
    expect(await sql(uri, 'SELECT count(*)::int AS count FROM item')).toEqual([{ count: 2 }]);
  });

  it("a broker's machine: another one goes on, and as the node that is lost clears the catalogue of its folder", async () => {
    const lost = await spawnBroker({ cluster });
    await tenantOf(lost, cluster, 'my-db');
    expect((await makeBackup(lost, 'my-db', { name: 'gone' })).status).toBe(201);
    await lost.kill();
    const home = await elsewhere(lost.home);
    const [{ node } = {}, ...more] = await lost.home.estate.state(recipe("Lost: a broker's machine", 'sql')[0] ?? '');
    expect(more).toEqual([]);
    await rm(lost.home.dataDir, { recursive: true });
    await pasted(lost, recipe("Lost: a broker's machine", 'sh')[0] ?? '', { node: String(node), data: home.dataDir });
    const broker = await spawnBroker({ home });
    expect((await broker.platform.bind('my-db', 'app')).status).toBe(201);
    const rescan = await pasted(broker, 'admin --request POST "$broker/storages/local/rescan"');
    expect(rescan).toMatch(/"missing":\[\{[^\]]*"gone"/);
    expect((await broker.admin.delete(backupPath('my-db', 'gone'))).status).toBe(200);
    expect((await makeBackup(broker, 'my-db', { name: 'gone' })).status).toBe(201);
  });

  it('a bucket: what it held is missing and can be deleted; a replica in its place serves', async () => {
    const server: S3Server = await startS3Server();
    try {
      const [bucket, another] = [await server.makeBucket(), await server.makeBucket()];
      const broker = await spawnBroker({ cluster, config: { storages: [s3Storage(server, bucket)] } });
      await tenantOf(broker, cluster, 'my-db');
      expect((await makeBackup(broker, 'my-db', { name: 'one', storage: 's3' })).status).toBe(201);
      const { Contents: objects = [] } = await server.client.listObjectsV2({ Bucket: bucket });
      for (const { Key = '' } of objects)
        await server.client.copyObject({ Bucket: another, Key, CopySource: `${bucket}/${Key}` });
      for (const { Key = '' } of objects) await server.client.deleteObject({ Bucket: bucket, Key });
      const rescan = await broker.admin.send('POST', '/storages/s3/rescan');
      expect(rescan.body).toMatchObject({ missing: [{ instance_id: 'my-db', backup_name: 'one' }] });
      expect((await makeBackup(broker, 'my-db', { name: 'two', storage: 's3' })).status).toBe(201);
      const home = changed(broker.home, { storages: [s3Storage(server, another)] });
      const there = await replaced(broker, home);
      expect((await there.admin.send('POST', '/storages/s3/rescan')).body).toMatchObject({
        missing: [{ instance_id: 'my-db', backup_name: 'two' }],
      });
      expect((await there.admin.send('POST', '/restore_instance/my-db/one')).status).toBe(200);
      expect((await there.admin.delete(backupPath('my-db', 'two'))).status).toBe(200);
      await there.stop();
    } finally {
      await server.remove();
    }
  });
});

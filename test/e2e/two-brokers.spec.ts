import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, later, MEDIUM } from '../support/platform.js';
import { holding, sql } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let one: SpawnedBroker;
let other: SpawnedBroker;

const config: Json = { http: { sync_wait: '300ms' } };

beforeAll(async () => {
  cluster = await startCluster();
  one = await spawnBroker({ cluster, config });
  other = await secondBroker();
});

afterAll(async () => {
  await Promise.all([one?.stop(), other?.stop()]);
  await cluster?.remove();
});

/** Another node: the same state database and servers, a data folder of its own. */
async function secondBroker(over: Json = config): Promise<SpawnedBroker> {
  const dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  return spawnBroker({
    home: { ...one.home, dataDir, config: { ...one.home.config, data_dir: dataDir } },
    config: over,
  });
}

describe('two brokers on one state database', () => {
  it('answer alike, and only one does the work', async () => {
    const answers = await Promise.all([one, other].map(({ platform }) => platform.provision('shared', {}, later)));
    for (const { status } of answers) expect([200, 201, 202]).toContain(status);
    for (const { platform } of [one, other]) expect((await platform.ended('shared')).body['state']).toBe('succeeded');
    await one.home.estate.expectExactly(['shared']);
    const bound = await one.platform.bind('shared', 'b');
    expect(credentialsOf(await other.platform.binding('shared', 'b'))).toEqual(credentialsOf(bound));
    expectDone(await other.platform.unbind('shared', 'b'), 200);
    expect((await one.platform.unbind('shared', 'b')).status).toBe(410);
    const rivals = await Promise.all([
      one.platform.provision('rivals', {}, later),
      other.platform.provision('rivals', { plan_id: MEDIUM }, later),
    ]);
    expect(rivals.map(({ status }) => status).filter((status) => status === 409)).toHaveLength(1);
    const won = rivals[0]?.status === 409 ? { plan_id: MEDIUM } : {};
    await one.platform.ended('rivals');
    expectDone(await one.platform.deprovision('rivals', won), 200);
  });

  it('an admin cancels at one what the other runs', async () => {
    await holding(cluster.superuserUrl(), 'pg_authid', async () => {
      const { body } = await one.platform.provision('cancelled', {}, later);
      const path = `/operations/${String(body['operation'])}`;
      await until('the operation to run', async () => (await other.admin.get(path)).body['state'] === 'running');
      expect((await other.admin.delete(path)).status).toBe(202);
    });
    expect((await other.platform.ended('cancelled')).body['state']).toBe('failed');
    await until('nothing to be left', async () => (await one.platform.deprovision('cancelled')).status === 410);
    await one.home.estate.expectExactly(['shared']);
  });
});

describe('when a broker stands still while it makes a binding', () => {
  it('the other finishes the binding, and the first one leaves it alone', async () => {
    const [{ database }] = (await one.home.estate.look()).instances as [{ database: string }];
    const limit = (connections: number) =>
      sql(cluster.superuserUrl(), `ALTER DATABASE ${database} CONNECTION LIMIT ${connections}`);
    await limit(0);
    const parameters = { access: 'read-only' };
    const stalled = one.platform.bind('shared', 'stalled', { parameters });
    await until('the binding to be begun', async () => (await one.home.estate.look()).bindings.length === 1);
    one.child.kill('SIGSTOP');
    try {
      await other.home.estate.state(`UPDATE service_binding SET lease_until = now() - interval '1 second'`);
      await limit(13);
      expectDone(await other.platform.bind('shared', 'stalled', { parameters }), 201);
    } finally {
      one.child.kill('SIGCONT');
    }
    expectRefused(await stalled, 422, { error: 'ConcurrencyError' });
    const { uri } = credentialsOf(await other.platform.binding('shared', 'stalled'));
    expect(await sql(uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await one.home.estate.expectExactly(['shared'], ['shared/stalled']);
    expectDone(await one.platform.unbind('shared', 'stalled'), 200);
  });
});

describe('when a broker is killed', () => {
  it('the other goes on with what it was doing', async () => {
    expectDone(await one.platform.provision('leaves'), 201);
    await holding(cluster.superuserUrl(), 'pg_authid', async () => {
      expectDone(await one.platform.provision('comes', {}, later), 202);
      const bound = one.platform.bind('shared', 'half').catch(() => undefined);
      expectDone(await one.platform.deprovision('leaves', later), 202);
      await until('the binding to be begun', async () => (await one.home.estate.look()).bindings.length === 1);
      await one.kill();
      await bound;
    });
    const { platform, home } = other;
    expect((await platform.ended('comes')).body['state']).toBe('succeeded');
    expect((await platform.ended('leaves')).body['state']).toBe('succeeded');
    const answer = await until('the binding to be there', async () => {
      const again = await platform.bind('shared', 'half');
      if (![200, 201].includes(again.status)) expectRefused(again, 422, { error: 'ConcurrencyError' });
      return again.status === 422 ? undefined : again;
    });
    expect(await sql(credentialsOf(answer).uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await until('the jobs to end', async () => (await home.estate.look()).jobs.length === 0);
    await home.estate.expectExactly(['comes', 'shared'], ['shared/half']);
    expectDone(await platform.unbind('shared', 'half'), 200);
    for (const id of ['comes', 'shared']) expectDone(await platform.deprovision(id), 200);
  });
});

describe('a broker that only answers', () => {
  it('leaves the work to one that works', async () => {
    const front = await secondBroker({ operations: { roles: ['api'] } });
    expectDone(await front.platform.provision('worked-elsewhere'), 201);
    expectDone(await front.platform.deprovision('worked-elsewhere'), 200);
    await front.home.estate.expectExactly([]);
    expect(await front.stop()).toBe(0);
  });
});

describe('a broker that stops gracefully', () => {
  it('takes no new work, hands over what it cannot finish, and the other ends it', async () => {
    const leaving = await secondBroker({ ...config, operations: { grace: '200ms' } });
    await holding(cluster.superuserUrl(), 'pg_authid', async () => {
      expectDone(await leaving.platform.provision('handed-over', {}, later), 202);
      await until('the operation to run', async () =>
        (await other.home.estate.look()).active.some(({ state }) => state === 'running'),
      );
      expect(await leaving.stop()).toBe(0);
    });
    expect((await other.platform.ended('handed-over')).body['state']).toBe('succeeded');
    expectDone(await other.platform.deprovision('handed-over'), 200);
    await other.home.estate.expectExactly([]);
  });

  it('gives one grace to all: waiting calls are answered when their work is handed over', async () => {
    const leaving = await secondBroker({ operations: { grace: '200ms' } });
    await holding(cluster.superuserUrl(), 'pg_authid', async () => {
      const taken = leaving.platform.provision('taken', {}, later);
      const refused = leaving.platform.provision('refused');
      await until('the operations to run', async () => {
        const { active } = await other.home.estate.look();
        return active.filter(({ state }) => state === 'running').length === 2;
      });
      expect(await leaving.stop()).toBe(0);
      expectDone(await taken, 202);
      expectRefused(await refused, 503, { says: /stopping/ });
      expect(leaving.log.filter((line) => line.includes('still running'))).toEqual([]);
    });
    await until('the refused one to be gone', async () => (await other.platform.deprovision('refused')).status === 410);
    expect((await other.platform.ended('taken')).body['state']).toBe('succeeded');
    expectDone(await other.platform.deprovision('taken'), 200);
    await other.home.estate.expectExactly([]);
  });
});

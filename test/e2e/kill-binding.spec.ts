import { type SpawnedBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { eachPoint, killedAt, spawnMortal, statementsOf } from '../support/killing.js';
import { credentialsOf, later } from '../support/platform.js';
import { session, sql } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let flows: Record<'bind' | 'unbind', string[]>;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnMortal({ cluster });
  const { platform } = broker;
  await platform.provision('i');
  flows = {
    bind: await statementsOf(broker, () => platform.bind('i', 'counted')),
    unbind: await statementsOf(broker, () => platform.unbind('i', 'counted')),
  };
  await broker.home.estate.expectExactly(['i']);
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

async function restarted(): Promise<void> {
  broker = await spawnMortal({ home: broker.home });
}

it('kill -9 at every phase of a bind: the repeated PUT gives credentials that work, a DELETE leaves nothing', async () => {
  await eachPoint(
    () => broker,
    flows.bind,
    14,
    async (n, point) => {
      const id = `b-${n}`;
      await killedAt(broker, point, () => broker.platform.bind('i', id));
      await restarted();
      if (n % 3 === 2) {
        const halted = await broker.platform.unbind('i', id, later);
        expect([200, 202, 410]).toContain(halted.status);
        await broker.home.estate.expectExactlySoon(['i']);
        expect((await broker.platform.unbind('i', id, later)).status).toBe(410);
        return;
      }
      const again = await until('the repeated bind', async () => {
        const answer = await broker.platform.bind('i', id, {}, later);
        return answer.status === 202 ? undefined : answer;
      });
      expect([200, 201]).toContain(again.status);
      await sql(credentialsOf(again).uri, 'CREATE TABLE IF NOT EXISTS t (a int)');
      expect((await broker.platform.binding('i', id)).body['credentials']).toEqual(credentialsOf(again));
      await broker.home.estate.expectExactlySoon(['i'], [`i/${id}`]);
      expect((await broker.platform.unbind('i', id)).status).toBe(200);
      await broker.home.estate.expectExactly(['i']);
    },
  );
});

it('kill -9 at every phase of an unbind: the repeated DELETE ends it, also with a session open', async () => {
  await eachPoint(
    () => broker,
    flows.unbind,
    12,
    async (n, point) => {
      const id = `u-${n}`;
      const { uri } = credentialsOf(await broker.platform.bind('i', id));
      const open = await session(uri);
      await open.query('BEGIN; CREATE TABLE IF NOT EXISTS mine (a int)');
      await killedAt(broker, point, () => broker.platform.unbind('i', id));
      await restarted();
      const again = await broker.platform.unbind('i', id, later);
      expect([200, 202, 410]).toContain(again.status);
      await broker.home.estate.expectExactlySoon(['i']);
      await expect(open.query('COMMIT')).rejects.toThrow();
      await expect(session(uri)).rejects.toThrow();
    },
  );
});

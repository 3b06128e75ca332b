import { type SpawnedBroker } from '../support/broker.js';
import { type Answer, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { eachPoint, killedAt, spawnMortal, statementsOf } from '../support/killing.js';
import { credentialsOf, later, MEDIUM, SMALL } from '../support/platform.js';
import { sql } from '../support/sql.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let flows: Record<'provision' | 'update' | 'deprovision', string[]>;

const withExtension: Json = { parameters: { extensions: ['citext'] } };

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnMortal({ cluster });
  const { platform } = broker;
  flows = {
    provision: await statementsOf(broker, () => platform.provision('counted', withExtension)),
    update: await statementsOf(broker, () => platform.update('counted', bigger)),
    deprovision: await statementsOf(broker, () => platform.deprovision('counted', { plan_id: MEDIUM })),
  };
  await broker.home.estate.expectExactly([]);
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

const bigger: Json = { plan_id: MEDIUM, parameters: { extensions: ['citext', 'hstore'] } };
const smaller: Json = { plan_id: SMALL, parameters: { extensions: ['citext'] } };

async function restarted(): Promise<void> {
  broker = await spawnMortal({ home: broker.home });
}

/** The repeated call of a platform that waits, whether the work was done at once or is still running. */
async function repeated(id: string, statuses: number[], ask: () => Promise<Answer>): Promise<void> {
  const answer = await ask();
  expect({ status: [...statuses, 202], text: answer.text }).toEqual({
    status: expect.arrayContaining([answer.status]) as number[],
    text: answer.text,
  });
  if (answer.status === 202) expect((await broker.platform.ended(id)).body['state']).toBe('succeeded');
}

it('kill -9 at every phase of a provision: the repeated PUT makes it, the DELETE of a platform that gave up removes it', async () => {
  await eachPoint(
    () => broker,
    flows.provision,
    14,
    async (n, point) => {
      const [made, orphan] = [`made-${n}`, `orphan-${n}`];
      const id = n % 3 === 2 ? orphan : made;
      await killedAt(broker, point, () => broker.platform.provision(id, withExtension, later));
      await restarted();
      if (id === orphan) {
        const halted = await broker.platform.deprovision(id, later);
        expect([200, 202, 410]).toContain(halted.status);
        await broker.home.estate.expectExactlySoon([]);
        expect((await broker.platform.deprovision(id, later)).status).toBe(410);
        return;
      }
      await repeated(id, [200, 201], () => broker.platform.provision(id, withExtension, later));
      await broker.home.estate.expectExactlySoon([id]);
      const { uri } = credentialsOf(await broker.platform.bind(id, 'b'));
      await sql(uri, 'CREATE TABLE t (a citext)');
      expect((await broker.platform.deprovision(id)).status).toBe(200);
      await broker.home.estate.expectExactly([]);
    },
  );
});

it('kill -9 at every phase of an update: the repeated PATCH applies all of it', async () => {
  await broker.platform.provision('i', withExtension);
  const { username } = credentialsOf(await broker.platform.bind('i', 'b'));
  await eachPoint(
    () => broker,
    flows.update,
    8,
    async (n, point) => {
      const [wanted, connections] = n % 2 === 0 ? ([bigger, 40] as const) : ([smaller, 10] as const);
      await killedAt(broker, point, () => broker.platform.update('i', wanted, later));
      await restarted();
      await repeated('i', [200], () => broker.platform.update('i', wanted, later));
      await broker.home.estate.expectExactlySoon(['i'], ['i/b']);
      expect((await broker.platform.instance('i')).body).toMatchObject(wanted);
      const [row] = await sql(
        cluster.superuserUrl(String((await broker.home.estate.look()).databases[0])),
        `SELECT rolconnlimit AS connections, (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS on_database,
        ARRAY(SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1) AS extensions
       FROM pg_roles WHERE rolname = $1`,
        [username],
      );
      expect(row).toEqual({ connections, on_database: connections + 3, ...(wanted['parameters'] as Json) });
    },
  );
  const plan_id = String((await broker.platform.instance('i')).body['plan_id']);
  await broker.platform.unbind('i', 'b', { plan_id });
  await broker.platform.deprovision('i', { plan_id });
  await broker.home.estate.expectExactly([]);
});

it('kill -9 at every phase of a deprovision: the repeated DELETE ends it', async () => {
  await eachPoint(
    () => broker,
    flows.deprovision,
    9,
    async (n, point) => {
      const id = `gone-${n}`;
      await broker.platform.provision(id, withExtension);
      await broker.platform.bind(id, 'b');
      await killedAt(broker, point, () => broker.platform.deprovision(id, later));
      await restarted();
      await repeated(id, [200, 410], () => broker.platform.deprovision(id, later));
      await broker.home.estate.expectExactlySoon([]);
    },
  );
});

it('kill -9 while calls of every kind run at once, twice: the repeated calls are right', async () => {
  const { estate } = broker.home;
  for (const id of ['bigger', 'bound', 'unbound', 'gone']) await broker.platform.provision(id, withExtension);
  await broker.platform.bind('unbound', 'b');
  const made = ['new-1', 'new-2', 'new-3', 'new-4'];
  const calls = (): Parameters<typeof repeated>[] => [
    ...made.map((id): Parameters<typeof repeated> => [
      id,
      [200, 201],
      () => broker.platform.provision(id, withExtension, later),
    ]),
    ['bigger', [200], () => broker.platform.update('bigger', bigger, later)],
    ['gone', [200, 410], () => broker.platform.deprovision('gone', later)],
    ['bound', [200, 201], () => broker.platform.bind('bound', 'b')],
    ['unbound', [200, 410], () => broker.platform.unbind('unbound', 'b')],
  ];
  for (const killAt of [16, 40]) {
    const all = () => Promise.allSettled(calls().map(([, , ask]) => ask())).then(([first]) => first);
    await killedAt(broker, { killAt, when: 'sent' }, async () => {
      const first = await all();
      if (first?.status !== 'fulfilled') throw new Error('the calls were cut off');
      return first.value;
    });
    await restarted();
  }
  await Promise.all(calls().map((call) => repeated(...call)));
  const kept = ['bigger', 'bound', 'unbound', ...made];
  await estate.expectExactlySoon(kept, ['bound/b']);
  expect((await broker.platform.instance('bigger')).body).toMatchObject(bigger);
  await broker.platform.unbind('bound', 'b');
  for (const id of kept) await broker.platform.deprovision(id, id === 'bigger' ? { plan_id: MEDIUM } : {});
  await estate.expectExactly([]);
});

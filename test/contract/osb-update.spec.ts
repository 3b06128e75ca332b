import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Answer } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, ids, later, MEDIUM, type Platform, SERVICE, SMALL } from '../support/platform.js';
import { type Row, session, sql } from '../support/sql.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let platform: Platform;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster });
  platform = broker.platform;
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

async function rowOf(id: string): Promise<Row> {
  const [row] = await broker.home.estate.state('SELECT * FROM service_instance WHERE id = $1', [id]);
  return row ?? {};
}

async function refusedAndUnchanged(ask: () => Promise<Answer>, status: number, says?: RegExp): Promise<Answer> {
  const before = await broker.home.estate.snapshot();
  const answer = await ask();
  expectRefused(answer, status, says ? { says } : {});
  expect(await broker.home.estate.snapshot()).toBe(before);
  return answer;
}

const extensionsOf = async (id: string) => {
  const url = cluster.superuserUrl(String((await rowOf(id))['database']));
  const rows = await sql(url, `SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1`);
  return rows.map(({ extname }) => extname);
};

describe('PATCH instance: the plan', () => {
  it('is 200 and its limits hold for the database and the roles that live', async () => {
    expectDone(await platform.provision('grows'), 201);
    const { username } = credentialsOf(await platform.bind('grows', 'b'));
    const limits = async () => {
      const database = String((await rowOf('grows'))['database']);
      const [row] = await sql(
        cluster.superuserUrl(),
        `SELECT datconnlimit AS on_database, (SELECT rolconnlimit FROM pg_roles WHERE rolname = $2) AS on_role
         FROM pg_database WHERE datname = $1`,
        [database, username],
      );
      return row;
    };
    expect(await limits()).toEqual({ on_database: 13, on_role: 10 });
    expectDone(await platform.update('grows', { plan_id: MEDIUM }), 200);
    expect(await limits()).toEqual({ on_database: 43, on_role: 40 });
    expect((await platform.instance('grows')).body).toMatchObject({ plan_id: MEDIUM });
    expectDone(await platform.update('grows', { plan_id: SMALL }, later), 200);
    expect(await limits()).toEqual({ on_database: 13, on_role: 10 });
  });

  it('is 200 when nothing changes', async () => {
    expectDone(await platform.provision('same'), 201);
    expectDone(await platform.update('same', { plan_id: SMALL }), 200);
    expectDone(await platform.update('same', { plan_id: SMALL, parameters: {} }), 200);
    expectDone(await platform.update('same', {}), 200);
  });

  it('is 400 when the plan is unknown, and changes nothing', async () => {
    await refusedAndUnchanged(() => platform.update('same', { plan_id: 'absent' }), 400, /plan_id/);
  });

  it('is 400 without service_id, or with another', async () => {
    await refusedAndUnchanged(() => platform.update('same', { service_id: undefined }), 400, /service_id/);
    await refusedAndUnchanged(() => platform.update('same', { service_id: 'absent' }), 400, /service_id/);
  });

  it('is 404 when the instance is unknown', async () => {
    await refusedAndUnchanged(() => platform.update('absent', { plan_id: MEDIUM }), 404);
  });

  it('is 422 when the database holds more than the smaller plan allows, and nothing is applied', async () => {
    const tiny = await spawnBroker({
      cluster,
      config: {
        catalog: {
          services: [
            {
              id: SERVICE,
              name: 'postgresql',
              description: 'databases',
              bindable: true,
              plan_updateable: true,
              plans: [
                { id: SMALL, name: 'tiny', description: 'tiny', limits: { storage_bytes: '1MiB', connections: 2 } },
                { id: MEDIUM, name: 'wide', description: 'wide', limits: { storage_bytes: '1GiB', connections: 4 } },
              ],
            },
          ],
        },
      },
    });
    expectDone(await tiny.platform.provision('full', { plan_id: MEDIUM }), 201);
    const answer = await tiny.platform.update('full', { plan_id: SMALL });
    expectRefused(answer, 422, { says: /storage|quota|size|bytes|holds/i });
    expect(answer.body['instance_usable']).not.toBe(false);
    expect((await tiny.platform.instance('full')).body).toMatchObject({ plan_id: MEDIUM });
    expectDone(await tiny.platform.deprovision('full', { plan_id: MEDIUM }), 200);
    await tiny.stop();
  });
});

describe('PATCH instance: the parameters', () => {
  it('adds extensions, and leaves the plan as it is', async () => {
    expectDone(await platform.provision('more'), 201);
    expectDone(await platform.update('more', { parameters: { extensions: ['citext'] } }), 200);
    expectDone(await platform.update('more', { parameters: { extensions: ['citext', 'hstore'] } }), 200);
    expect(await extensionsOf('more')).toEqual(['citext', 'hstore']);
    expect((await platform.instance('more')).body).toMatchObject({
      ...ids,
      parameters: { extensions: ['citext', 'hstore'] },
    });
  });

  it('leaves them as they are when there are none in the body, or empty ones', async () => {
    expectDone(await platform.update('more', { plan_id: MEDIUM, parameters: {} }), 200);
    expectDone(await platform.update('more', { plan_id: SMALL }), 200);
    expect(await extensionsOf('more')).toEqual(['citext', 'hstore']);
  });

  it('removes one that nothing uses', async () => {
    expectDone(await platform.update('more', { parameters: { extensions: ['citext'] } }), 200);
    expect(await extensionsOf('more')).toEqual(['citext']);
  });

  it('refuses to remove one that is in use, names its users, and applies nothing', async () => {
    const { uri } = credentialsOf(await platform.bind('more', 'b'));
    await sql(uri, 'CREATE TABLE people (email citext)');
    const ask = () => platform.update('more', { plan_id: MEDIUM, parameters: { extensions: ['hstore'] } });
    expectRefused(await ask(), 400, { says: /people/ });
    expect(await extensionsOf('more')).toEqual(['citext']);
    expect((await platform.instance('more')).body).toMatchObject({
      plan_id: SMALL,
      parameters: { extensions: ['citext'] },
    });
    await broker.home.estate.expectExactly(
      (await broker.home.estate.look()).instances.map(({ id }) => String(id)),
      ['grows/b', 'more/b'],
    );
    expect(await sql(uri, 'SELECT count(*)::int AS n FROM people')).toEqual([{ n: 0 }]);
  });

  it.each([
    ['an unknown one', { colour: 'red' }, /colour/],
    ['an extension that the plan does not allow', { extensions: ['file_fdw'] }, /extensions/],
    ['extensions that are no list', { extensions: { a: 1 } }, /extensions/],
    ['another locale', { locale: 'de-DE' }, /locale/],
  ])('refuses %s with 400 and names it', async (_what, parameters, says) => {
    await refusedAndUnchanged(() => platform.update('more', { parameters }), 400, says);
  });
});

describe('PATCH instance: context and maintenance', () => {
  const context = { platform: 'cloudfoundry', organization_name: 'o', space_name: 's', instance_name: 'first' };

  it('with only context is 200 and stores the new names', async () => {
    expectDone(await platform.provision('named', { context }), 201);
    const renamed = { ...context, space_name: 'moved', instance_name: 'second' };
    expectDone(await platform.update('named', { context: renamed }), 200);
    expect((await rowOf('named'))['context']).toEqual(renamed);
    expectDone(await platform.provision('named', { context }), 200);
  });

  it('takes maintenance_info of the catalog, and 422 MaintenanceInfoConflict for another', async () => {
    expectDone(await platform.update('named', { maintenance_info: { version: '1.0.0' } }), 200);
    const other = await refusedAndUnchanged(
      () => platform.update('named', { maintenance_info: { version: '9.0.0' } }),
      422,
    );
    expect(other.body['error']).toBe('MaintenanceInfoConflict');
  });

  it('takes previous_values whose maintenance_info is null, and all that the Cloud Controller sends there', async () => {
    const previous_values = { ...ids, organization_id: 'o', space_id: 's', maintenance_info: null };
    const body = { plan_id: SMALL, maintenance_info: { version: '1.0.0' }, parameters: {}, previous_values };
    expectDone(await platform.update('named', body), 200);
  });
});

describe('after an update', () => {
  it('the identical new PUT is 200 and the original one 409', async () => {
    expectDone(await platform.provision('moved'), 201);
    expectDone(await platform.update('moved', { plan_id: MEDIUM }), 200);
    expectDone(await platform.provision('moved', { plan_id: MEDIUM }), 200);
    expectRefused(await platform.provision('moved', { plan_id: SMALL }), 409);
  });

  it('sessions that were open before go on', async () => {
    const { uri } = credentialsOf(await platform.bind('moved', 'b', { plan_id: MEDIUM }));
    const client = await session(uri);
    await client.query('CREATE TABLE kept (a int)');
    expectDone(await platform.update('moved', { plan_id: SMALL }), 200);
    expect((await client.query('SELECT count(*)::int AS n FROM kept')).rows).toEqual([{ n: 0 }]);
    await client.end();
  });

  it('new sessions have the time-outs of the new plan', async () => {
    const { uri } = credentialsOf(await platform.binding('moved', 'b'));
    const [row] = await sql(uri, `SELECT current_setting('statement_timeout') AS timeout`);
    expect(row).toEqual({ timeout: '1h' });
  });
});

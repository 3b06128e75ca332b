import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { ids, later, MEDIUM, type Platform, SMALL } from '../support/platform.js';
import { sql } from '../support/sql.js';

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

const context = {
  platform: 'cloudfoundry',
  organization_guid: 'o-1',
  organization_name: 'org',
  space_guid: 's-1',
  space_name: 'space',
  instance_name: 'db',
  instance_annotations: { 'example.org/a': 'b' },
};

async function refusedAndUnchanged(
  ask: () => Promise<Parameters<typeof expectRefused>[0]>,
  status: number,
  says: RegExp,
) {
  const before = await broker.home.estate.snapshot();
  expectRefused(await ask(), status, { says });
  expect(await broker.home.estate.snapshot()).toBe(before);
}

describe('PUT instance', () => {
  it('is 201 when the database is there, without asking for patience', async () => {
    const answer = await platform.provision('made', { context }, later);
    expectDone(answer, 201);
    expect(answer.body).not.toHaveProperty('operation');
    await broker.home.estate.expectExactly(['made']);
  });

  it('is 201 without accepts_incomplete too', async () => {
    expectDone(await platform.provision('plain'), 201);
  });

  it('is 200 when an identical one is done', async () => {
    expectDone(await platform.provision('twice', { context, parameters: { extensions: ['citext'] } }), 201);
    const before = await broker.home.estate.snapshot();
    expectDone(await platform.provision('twice', { context, parameters: { extensions: ['citext'] } }), 200);
    expectDone(await platform.provision('twice', { parameters: { extensions: ['citext'] } }, later), 200);
    expect(await broker.home.estate.snapshot()).toBe(before);
  });

  it('does not tell absent parameters from empty ones', async () => {
    expectDone(await platform.provision('no-parameters'), 201);
    expectDone(await platform.provision('no-parameters', { parameters: {} }), 200);
  });

  it('is 409 with another plan or other parameters, and changes nothing', async () => {
    expectDone(await platform.provision('taken'), 201);
    await refusedAndUnchanged(() => platform.provision('taken', { plan_id: MEDIUM }), 409, /\S/);
    await refusedAndUnchanged(() => platform.provision('taken', { parameters: { extensions: ['citext'] } }), 409, /\S/);
  });

  it('is 422 MaintenanceInfoConflict when its version is not that of the catalog', async () => {
    const answer = await platform.provision('maintained', { maintenance_info: { version: '0.0.1' } });
    expectRefused(answer, 422, { error: 'MaintenanceInfoConflict' });
    expectDone(await platform.provision('maintained', { maintenance_info: { version: '1.0.0' } }), 201);
  });

  it.each([
    ['without service_id', { service_id: undefined }, /service_id/],
    ['without plan_id', { plan_id: undefined }, /plan_id/],
    ['without organization_guid', { organization_guid: undefined }, /organization_guid/],
    ['without space_guid', { space_guid: undefined }, /space_guid/],
    ['with an unknown service', { service_id: 'absent' }, /service_id/],
    ['with an unknown plan', { plan_id: 'absent' }, /plan_id/],
    ['with a plan_id of another type', { plan_id: 7 }, /plan_id/],
    ['with parameters that are no object', { parameters: 'x' }, /parameters/],
    ['with context that is no object', { context: [] }, /context/],
    ['with an unknown parameter', { parameters: { colour: 'red' } }, /colour/],
    ['with extensions that are no list', { parameters: { extensions: 'citext' } }, /extensions/],
    ['with an extension that the plan does not allow', { parameters: { extensions: ['dblink'] } }, /extensions/],
    ['with a locale that is none', { parameters: { locale: '!!' } }, /locale/],
    ['with a locale of another type', { parameters: { locale: 5 } }, /locale/],
  ])('%s is 400 and names it', async (_what, body, says) => {
    await refusedAndUnchanged(() => platform.provision('refused', body), 400, says);
  });

  it('makes the extensions that it is asked for', async () => {
    expectDone(await platform.provision('extended', { parameters: { extensions: ['citext', 'pg_trgm'] } }), 201);
    const url = cluster.superuserUrl(await databaseOf('extended'));
    const rows = await sql(url, `SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1`);
    expect(rows.map(({ extname }) => extname)).toEqual(['citext', 'pg_trgm']);
  });

  it.each([
    ['C.UTF-8', undefined, 'c'],
    ['C.UTF-8', 'C.UTF-8', 'c'],
    ['an ICU tag', 'de-DE', 'i'],
  ])('makes a database with %s', async (_what, locale, provider) => {
    const id = `locale-${locale}`;
    expectDone(await platform.provision(id, locale === undefined ? {} : { parameters: { locale } }), 201);
    const [row] = await sql(
      cluster.superuserUrl(),
      'SELECT datlocprovider AS provider, datcollate, daticulocale, pg_encoding_to_char(encoding) AS encoding FROM pg_database WHERE datname = $1',
      [await databaseOf(id)],
    );
    expect(row).toMatchObject({ provider, encoding: 'UTF8' });
    expect(provider === 'i' ? row?.['daticulocale'] : row?.['datcollate']).toBe(locale ?? 'C.UTF-8');
  });

  it('takes what Kubernetes sends', async () => {
    const kubernetes = { platform: 'kubernetes', namespace: 'dev', clusterid: 'c', instance_name: 'db' };
    expectDone(await platform.provision('kubernetes', { context: kubernetes }), 201);
  });

  it('decides one of many at the same moment, and answers all alike', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => platform.provision('raced', {}, later)));
    expect(answers.filter(({ status }) => ![200, 201, 202].includes(status))).toEqual([]);
    await platform.ended('raced');
    const rival = await Promise.all([SMALL, MEDIUM].map((plan_id) => platform.provision('rivals', { plan_id })));
    expect(rival.map(({ status }) => status).sort()).toEqual([201, 409]);
  });
});

describe('GET instance', () => {
  it('is 200 with service, plan and parameters, asked without service_id and plan_id', async () => {
    expectDone(await platform.provision('shown', { parameters: { extensions: ['citext'] } }), 201);
    const answer = await platform.instance('shown');
    expectDone(answer, 200);
    expect(answer.body).toMatchObject({ ...ids, parameters: { extensions: ['citext'] } });
  });

  it('is 404 when there is none', async () => {
    expectRefused(await platform.instance('absent'), 404);
  });
});

describe('GET last_operation of an instance', () => {
  it('is 200 when it is known, with or without service_id and plan_id', async () => {
    expectDone(await platform.provision('asked'), 201);
    for (const query of [{}, ids]) {
      const answer = await platform.lastOperation('asked', query);
      expectDone(answer, 200);
      expect(answer.body['state']).toBe('succeeded');
    }
  });

  it('is 404 when it never existed', async () => {
    expectRefused(await platform.lastOperation('never'), 404);
  });
});

describe('DELETE instance', () => {
  it('is 200 {} when it is deleted', async () => {
    expectDone(await platform.provision('deleted'), 201);
    const answer = await platform.deprovision('deleted', later);
    expectDone(answer, 200);
    expect(answer.body).toEqual({});
    expect((await broker.home.estate.look()).instances.map(({ id }) => id)).not.toContain('deleted');
  });

  it('is 410 {} when it is absent, deleted before or never made', async () => {
    expectDone(await platform.provision('gone'), 201);
    expectDone(await platform.deprovision('gone'), 200);
    for (const id of ['gone', 'never']) {
      const answer = await platform.deprovision(id);
      expect({ status: answer.status, body: answer.body, text: answer.text }).toEqual({
        status: 410,
        body: {},
        text: '{}',
      });
    }
  });

  it.each(['service_id', 'plan_id'])('without %s is 400 and names it', async (key) => {
    await refusedAndUnchanged(() => platform.deprovision('made', { [key]: undefined }), 400, new RegExp(key));
  });

  it('takes clients that are still connected with it, and bindings that are left', async () => {
    expectDone(await platform.provision('busy'), 201);
    const bound = await platform.bind('busy', 'b');
    const { uri } = bound.body['credentials'] as { uri: string };
    const waiting = sql(uri, 'SELECT pg_sleep(600)').catch((error: unknown) => String(error));
    expectDone(await platform.deprovision('busy'), 200);
    expect(await waiting).toMatch(/terminat|administrator|ECONNRESET|does not exist|not permitted/);
    const look = await broker.home.estate.look();
    expect(look.instances.map(({ id }) => id)).not.toContain('busy');
    expect(look.bindings).toEqual([]);
  });

  it('lets the same id be made anew', async () => {
    expectDone(await platform.provision('again'), 201);
    expectDone(await platform.deprovision('again'), 200);
    expectDone(await platform.provision('again', { plan_id: MEDIUM }), 201);
  });
});

it('has left nothing behind but what is there', async () => {
  const look = await broker.home.estate.look();
  await broker.home.estate.expectExactly(look.instances.map(({ id }) => String(id)));
  for (const { id, service_id, plan_id } of look.instances)
    expectDone(
      await platform.deprovision(String(id), { service_id: String(service_id), plan_id: String(plan_id) }),
      200,
    );
  await broker.home.estate.expectExactly([]);
});

async function databaseOf(id: string): Promise<string> {
  const [row] = await broker.home.estate.state('SELECT database FROM service_instance WHERE id = $1', [id]);
  return String(row?.['database']);
}

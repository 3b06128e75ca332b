import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError, loadConfig } from '../../src/config/load.js';
import { expectDone } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { MEDIUM, SERVICE, SMALL } from '../support/platform.js';

type Plan = Json & { id: string; name: string; schemas: Json };
type Service = Json & { plans: Plan[] };

let cluster: Cluster;
let broker: SpawnedBroker;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster, config: { http: { external_url: 'https://broker.example.org' } } });
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

describe('GET catalog', () => {
  const services = async () => (await broker.platform.catalog()).body['services'] as Service[];

  it('is 200 with the services of the configuration', async () => {
    expectDone(await broker.platform.catalog(), 200);
    const [service, ...others] = await services();
    expect(others).toEqual([]);
    expect(service).toMatchObject({
      id: SERVICE,
      name: 'postgresql',
      bindable: true,
      plan_updateable: true,
      instances_retrievable: true,
      bindings_retrievable: true,
      allow_context_updates: true,
      tags: ['postgresql', 'postgres', 'relational', 'database'],
    });
    expect(service?.plans.map(({ name }) => name)).toEqual(['small', 'medium', 'large']);
    expect(service?.plans.map(({ id }) => id)).toEqual(expect.arrayContaining([SMALL, MEDIUM]));
  });

  it('gives every plan maintenance_info and draft-04 schemas of its parameters', async () => {
    const draft = 'http://json-schema.org/draft-04/schema#';
    for (const plan of (await services()).flatMap(({ plans }) => plans)) {
      expect(plan['maintenance_info']).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string });
      expect(plan.schemas).toMatchObject({
        service_instance: { create: { parameters: { $schema: draft } }, update: { parameters: { $schema: draft } } },
        service_binding: { create: { parameters: { $schema: draft } } },
      });
    }
  });

  it("keeps the broker's own plan properties to itself", async () => {
    for (const plan of (await services()).flatMap(({ plans }) => plans))
      for (const key of ['limits', 'backup', 'binding_max_age']) expect(plan).not.toHaveProperty(key);
  });

  it('tells where the backup API is when the external address is configured', async () => {
    const [service] = await services();
    expect(service).toMatchObject({
      metadata: {
        backupApi: {
          url: expect.stringMatching(/^https:\/\/broker\.example\.org/) as string,
          version: expect.any(String) as string,
        },
      },
    });
  });

  it('has an ETag, and If-None-Match with it is 304', async () => {
    const { etag } = (await broker.platform.catalog()).headers;
    expect(etag).toMatch(/^(W\/)?".+"$/);
    const again = await broker.platform.catalog({ headers: { 'if-none-match': etag } });
    expect({ status: again.status, text: again.text }).toEqual({ status: 304, text: '' });
    expect((await broker.platform.catalog({ headers: { 'if-none-match': '"other"' } })).status).toBe(200);
  });
});

describe('a catalog that the Cloud Controller would refuse is a fault of the configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'catalog-'));
  const faultOf = (catalog: Json) => {
    const file = join(folder, 'broker.json');
    writeFileSync(file, JSON.stringify({ ...broker.home.config, catalog }));
    try {
      loadConfig({ BROKER_CONFIG: file });
      return undefined;
    } catch (error) {
      if (error instanceof ConfigurationError) return error.faults.join('\n');
      throw error;
    }
  };
  const plan = (over: Json = {}): Json => ({ id: 'p', name: 'plan', description: 'a plan', ...over });
  const service = (over: Json = {}): Json => ({
    id: 's',
    name: 'service',
    description: 'a service',
    bindable: true,
    plans: [plan()],
    ...over,
  });
  const schema = (parameters: unknown) => ({
    plans: [plan({ schemas: { service_instance: { create: { parameters } } } })],
  });
  const draft = { $schema: 'http://json-schema.org/draft-04/schema#' };
  const client = { id: 'c', secret: 's', redirect_uri: 'https://dashboard.example.org' };
  const without = (key: string) => Object.fromEntries(Object.entries(client).filter(([name]) => name !== key));

  it('takes one that has no fault', () => {
    const full = { ...schema({ ...draft, type: 'object' }), tags: ['a'], metadata: {}, dashboard_client: client };
    expect(faultOf({ services: [service(full)] })).toBeUndefined();
  });

  it.each<[string, Json[], RegExp]>([
    ['a duplicate service id', [service(), service({ name: 'other', plans: [plan({ id: 'q' })] })], /services\.1\.id/],
    ['a duplicate service name', [service(), service({ id: 't', plans: [plan({ id: 'q' })] })], /services\.1\.name/],
    ['a duplicate plan id', [service({ plans: [plan(), plan({ name: 'other' })] })], /plans\.1\.id/],
    [
      'a duplicate plan id in another service',
      [service(), service({ id: 't', name: 'other' })],
      /services\.1\.plans\.0\.id/,
    ],
    ['a duplicate plan name', [service({ plans: [plan(), plan({ id: 'q' })] })], /plans\.1\.name/],
    ['a blank service id', [service({ id: ' ' })], /services\.0\.id/],
    ['a blank service name', [service({ name: '' })], /services\.0\.name/],
    ['a blank service description', [service({ description: ' ' })], /services\.0\.description/],
    ['a blank plan id', [service({ plans: [plan({ id: '' })] })], /plans\.0\.id/],
    ['a blank plan name', [service({ plans: [plan({ name: ' ' })] })], /plans\.0\.name/],
    ['a blank plan description', [service({ plans: [plan({ description: '' })] })], /plans\.0\.description/],
    ['no bindable', [service({ bindable: undefined })], /bindable/],
    ['a description over 10,000 characters', [service({ description: 'x'.repeat(10_001) })], /description/],
    ['tags over 2,048 characters', [service({ tags: ['x'.repeat(1025), 'y'.repeat(1024)] })], /tags/],
    ['metadata that is no object', [service({ metadata: 'x' })], /metadata/],
    ['plan metadata that is no object', [service({ plans: [plan({ metadata: ['x'] })] })], /metadata/],
    [
      'maintenance_info with another key',
      [service({ plans: [plan({ maintenance_info: { version: '1.0.0', more: 1 } })] })],
      /maintenance_info/,
    ],
    [
      'maintenance_info whose version is not semantic',
      [service({ plans: [plan({ maintenance_info: { version: '1' } })] })],
      /maintenance_info/,
    ],
    ['a schema without $schema', [service(schema({ type: 'object' }))], /schemas/],
    [
      'a schema that is not draft-04',
      [service(schema({ $schema: 'http://json-schema.org/draft-07/schema#' }))],
      /schemas/,
    ],
    ['a schema that is none', [service(schema({ ...draft, type: 'nonsense' }))], /schemas/],
    ['a schema over 64 KiB', [service(schema({ ...draft, description: 'x'.repeat(65_536) }))], /schemas/],
    [
      'a schema with an external reference',
      [service(schema({ ...draft, properties: { a: { $ref: 'http://example.org/a' } } }))],
      /schemas/,
    ],
    ['dashboard_client without id', [service({ dashboard_client: without('id') })], /dashboard_client/],
    ['dashboard_client without secret', [service({ dashboard_client: without('secret') })], /dashboard_client/],
    [
      'dashboard_client without redirect_uri',
      [service({ dashboard_client: without('redirect_uri') })],
      /dashboard_client/,
    ],
    ['a service without plans', [service({ plans: [] })], /plans/],
  ])('%s', (_what, services, path) => {
    expect(faultOf({ services })).toMatch(path);
  });
});

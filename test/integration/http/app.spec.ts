import { type BrokerApp, createApp } from '../../../src/create-app.js';
import { loadConfig } from '../../../src/config/load.js';
import { loadIdentity } from '../../../src/config/identity.js';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BrokerHome, brokerHome, merged } from '../../support/broker-home.js';
import { startBroker } from '../../support/broker.js';
import { HttpClient, type Json } from '../../support/client.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { until } from '../../support/until.js';

let cluster: Cluster;
let home: BrokerHome;
beforeAll(async () => {
  cluster = await startCluster();
  home = await brokerHome({ cluster });
});
afterAll(() => cluster.remove());

async function broker(lines: string[] = [], over: Json = {}): Promise<BrokerApp> {
  const file = join(home.dataDir, 'app.json');
  writeFileSync(file, JSON.stringify(merged(home.config, over)));
  const config = loadConfig({ BROKER_CONFIG: file });
  return createApp(config, await loadIdentity(config.data_dir), { logTo: { write: (line) => lines.push(line) } });
}

describe('the whole broker', () => {
  it('describes both APIs', async () => {
    const { url } = await startBroker({ home });
    const { status, headers, body } = await new HttpClient(url, undefined).get('/openapi.json');
    expect(status).toBe(200);
    expect(headers['content-type']).toMatch(/^application\/json/);
    const paths = body['paths'] as Record<string, Record<string, Operation>>;
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining([
        '/v2/catalog',
        '/v2/service_instances/{instance_id}',
        '/v2/service_instances/{instance_id}/last_operation',
        '/v2/service_instances/{instance_id}/service_bindings/{binding_id}',
        '/operations',
        '/operations/{id}',
        '/healthz',
        '/readyz',
      ]),
    );
    const schemas = (body['components'] as { schemas: Json }).schemas;
    expect(schemas['OperationDto']).toMatchObject({
      properties: { state: { enum: expect.arrayContaining(['queued']) as string[] } },
    });
    for (const reference of JSON.stringify(body).match(/#\/components\/schemas\/[^"]+/g) ?? [])
      expect(Object.keys(schemas)).toContain(reference.replace('#/components/schemas/', ''));
    for (const [path, item] of Object.entries(paths))
      for (const operation of Object.values(item)) checkOperation(path, operation);
  });

  it('says how it is', async () => {
    const { url } = await startBroker({ home });
    const anybody = new HttpClient(url, undefined);
    expect(await anybody.get('/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await anybody.get('/readyz')).toMatchObject({
      status: 200,
      body: {
        status: 'ready',
        state: { reachable: true },
        servers: [{ name: 'default', reachable: true, accepts_new: true }],
      },
    });
  });

  it('listens while it starts, and is ready by itself once the state database answers', async () => {
    await cluster.stop();
    const lines: string[] = [];
    const app = await broker(lines);
    try {
      const url = await app.listen();
      const platform = new HttpClient(url, home.platform, { 'x-broker-api-version': '2.17' });
      expect(await platform.get('/v2/catalog')).toMatchObject({
        status: 503,
        body: { description: 'the broker is starting' },
      });
      expect((await platform.get('/healthz')).status).toBe(200);
      expect(await platform.get('/readyz')).toMatchObject({ status: 503, body: { status: 'starting' } });
      await cluster.start();
      await app.ready;
      expect((await platform.get('/v2/catalog')).status).toBe(200);
      expect((await platform.get('/readyz')).status).toBe(200);
      await cluster.stop('immediate');
      const down = await until('not ready without the database', async () => {
        const answer = await platform.get('/readyz');
        return JSON.stringify(answer.body).includes('"servers":[{"name":"default","reachable":false') && answer;
      });
      expect(down).toMatchObject({ status: 503, body: { status: 'unavailable', state: { reachable: false } } });
      await cluster.start();
      await until('ready again', async () => (await platform.get('/readyz')).status === 200);
    } finally {
      await cluster.start().catch(() => undefined);
      await app.close();
    }
  });

  it('can be closed while it still waits for its database', async () => {
    await cluster.stop();
    try {
      const app = await broker();
      await app.listen();
      await app.close();
      await expect(app.ready).rejects.toThrow();
    } finally {
      await cluster.start();
    }
  });

  it('warns of keys that nothing uses yet', async () => {
    const lines: string[] = [];
    const app = await broker(lines, { cloud_controller: { dashboard_client: { id: 'a' } } });
    await app.close();
    const warnings = lines.map((line) => JSON.parse(line) as Json).filter(({ level }) => level === 'warn');
    expect(warnings.map(({ msg }) => msg)).toEqual([
      'configured, but not in use yet: cloud_controller.dashboard_client',
    ]);
  });
});

interface Operation {
  summary?: string;
  security?: object[];
  responses: Record<string, { description?: string; content?: Json }>;
}

function checkOperation(path: string, operation: Operation): void {
  const open = ['/healthz', '/readyz', '/openapi.json'].includes(path);
  const forUsers = !path.startsWith('/v2') && !open && !['/audit', '/storages/{name}/rescan'].includes(path);
  expect([path, operation.security]).toEqual([
    path,
    open ? [] : [path.startsWith('/v2') ? { platform: [] } : { admin: [] }, ...(forUsers ? [{ user: [] }] : [])],
  ]);
  if (open) return;
  expect(operation.summary).toMatch(/\w/);
  expect(operation.responses['401']?.content).toBeDefined();
  expect(Object.keys(operation.responses).some((status) => status.startsWith('2'))).toBe(true);
}

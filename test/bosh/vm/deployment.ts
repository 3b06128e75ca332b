import { createServer } from 'node:net';
import { once } from 'node:events';
import { type Json, HttpClient } from '../../support/client.js';
import { Platform } from '../../support/platform.js';
import { until } from '../../support/until.js';
import { ODD, REQUIRED } from '../property-sets.js';
import { type LinkProvider } from '../render.js';
import { Agent, type JobOnVm } from './agent.js';
import { type Vm } from './vm.js';

export interface Ports {
  http: number;
  postgres: number;
}

/** The network is the machine's, so that ports are drawn where a VM has its own. */
export async function drawPorts(): Promise<Ports> {
  return { http: await freePort(), postgres: await freePort() };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

const credentials = (username: string) => ({ username, password: `${ODD} of ${username}` });
const PLATFORM = credentials('platform');
const ADMIN = credentials('admin');

export function postgresJob({ postgres }: Ports, more: Json = {}, databases: Json = {}): JobOnVm {
  const roles = ['broker_state', 'broker'].map((name) => ({ name, password: `${ODD} of ${name}` }));
  return { name: 'postgres', properties: { databases: { port: postgres, roles, ...databases }, ...more } };
}

/** The broker beside it, linked as BOSH links them. */
export function brokerJob(ports: Ports, linked: JobOnVm | undefined, more: Json = {}): JobOnVm {
  const databases = {
    databases: [{ name: 'broker_state' }],
    tls: { ca: '' },
    ...(linked?.properties['databases'] as Json),
  };
  const links: Record<string, LinkProvider> = linked
    ? {
        database: {
          address: '127.0.0.1',
          properties: { release_level_backup: false, ...linked.properties, databases },
        },
      }
    : {};
  const { http, ...rest } = more as { http?: Json };
  return {
    name: 'postgres-broker',
    links,
    properties: {
      ...REQUIRED,
      platform: { credentials: [PLATFORM] },
      admin: { credentials: [ADMIN] },
      http: { host: '127.0.0.1', port: ports.http, ...http },
      ...rest,
    },
  };
}

/** Broker and PostgreSQL of one VM, and who calls them. */
export class Deployed {
  readonly agent: Agent;
  readonly platform: Platform;
  readonly admin: HttpClient;

  constructor(
    readonly vm: Vm,
    ports: Ports,
    jobs: JobOnVm[],
  ) {
    this.agent = new Agent(vm, jobs);
    const url = `http://127.0.0.1:${ports.http}`;
    this.platform = new Platform(url, PLATFORM, { 'x-broker-api-version': '2.17' });
    this.admin = new HttpClient(url, ADMIN);
  }

  async instance(id: string): Promise<void> {
    await expectStatus(201, this.platform.provision(id));
  }

  /** A binding's URI. */
  async bind(instance: string, binding: string): Promise<string> {
    const { body } = await expectStatus(201, this.platform.bind(instance, binding));
    return (body['credentials'] as { uri: string }).uri;
  }

  async backUp(instance: string, name: string): Promise<Json> {
    return (await expectStatus(201, this.admin.send('POST', `/backup_instance/${instance}`, { query: { name } }))).body;
  }

  async restore(instance: string, name: string): Promise<Json> {
    return (await expectStatus(200, this.admin.send('POST', `/restore_instance/${instance}/${name}`))).body;
  }

  /** Waits for the operation of a call that was answered 202. */
  async ended(operation: string): Promise<Json> {
    return until(
      `the end of the operation ${operation}`,
      async () => {
        const answer = await this.admin.get(`/operations/${operation}`).catch(() => undefined);
        return ['queued', 'running', undefined].includes(answer?.body['state'] as string | undefined)
          ? undefined
          : answer?.body;
      },
      { limitMs: 180_000, everyMs: 250 },
    );
  }

  ready(): Promise<unknown> {
    return until('the broker to be ready', () =>
      this.admin.get('/readyz').then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  }
}

export async function expectStatus(status: number, answer: ReturnType<HttpClient['send']>) {
  const given = await answer;
  if (given.status !== status) throw new Error(`expected ${status}, not ${given.status}: ${given.text}`);
  return given;
}

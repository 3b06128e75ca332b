import { randomBytes } from 'node:crypto';
import { Logger } from '@nestjs/common';
import { configSchema, type ServerConfig } from '../../../src/config/schema.js';
import { PostgresServers } from '../../../src/postgres/postgres-servers.js';
import { type Step } from '../../../src/postgres/step.js';
import { type BindingRole, type TenantLimits, type TenantNames } from '../../../src/postgres/tenant.js';
import { TenantDatabases } from '../../../src/postgres/tenant-databases.js';
import { type Cluster } from '../../support/cluster.js';

export const LIMITS: TenantLimits = {
  connections: 5,
  statementTimeoutMs: 60_000,
  idleInTransactionTimeoutMs: 120_000,
  tempFileLimitBytes: 2 ** 20,
};

Logger.overrideLogger(false);

type Entry = { name: string; url: string } & Partial<Record<keyof ServerConfig, unknown>>;

/** The servers of one broker and what it does there. */
export interface Estate {
  servers: PostgresServers;
  tenants: TenantDatabases;
  runner: string;
}

export function estate(entries: Entry[], node = draw()): Estate {
  const password = draw();
  const config = configSchema.parse({
    platform: { credentials: [{ password }] },
    admin: { credentials: [{ password }] },
    state: {
      url: 'postgres://nobody@localhost/none',
      encryption_keys: [{ id: 'k', secret: randomBytes(32).toString('base64') }],
    },
    servers: entries,
  });
  const process = draw();
  const runner = `${node}/${process}`;
  const servers = new PostgresServers(config, { node, process, runner });
  return { servers, tenants: new TenantDatabases(servers), runner };
}

export const estateOn = (cluster: Cluster, more: Partial<Entry> = {}) =>
  estate([{ name: 'default', url: cluster.brokerUrl(), ...more }]);

export function step(signal = new AbortController().signal): Step & { phases: string[] } {
  const phases: string[] = [];
  return {
    signal,
    phases,
    phase: (name) => {
      phases.push(name);
      return Promise.resolve();
    },
  };
}

export const never = new AbortController().signal;

/** An instance with its bindings, as an application gets it. */
export interface Tenant {
  names: TenantNames;
  bindings: (BindingRole & { url: string; password: string })[];
}

export async function tenant(
  { tenants }: Estate,
  cluster: Cluster,
  access: BindingRole['access'][] = [],
  limits = LIMITS,
  extensions: string[] = [],
): Promise<Tenant> {
  const names = tenants.drawNames('default');
  await tenants.create(names, { limits, extensions }, step());
  const made: Tenant = { names, bindings: [] };
  for (const kind of access) await bind({ tenants }, cluster, made, kind, limits);
  return made;
}

export async function bind(
  { tenants }: Pick<Estate, 'tenants'>,
  cluster: Cluster,
  to: Tenant,
  access: BindingRole['access'] = 'read-write',
  limits = LIMITS,
) {
  const role = tenants.drawBindingRole();
  const password = tenants.drawPassword();
  await tenants.createBinding(to.names, { role, access, password, limits }, never);
  const binding = { role, access, password, url: urlOf(cluster, role, password, to.names.database) };
  to.bindings.push(binding);
  return binding;
}

export function urlOf(cluster: Cluster, role: string, password: string, database: string): string {
  return `postgres://${role}:${password}@${cluster.host}:${cluster.port}/${database}`;
}

export async function twice(work: () => Promise<unknown>): Promise<void> {
  await work();
  await work();
}

function draw(): string {
  return randomBytes(6).toString('hex');
}

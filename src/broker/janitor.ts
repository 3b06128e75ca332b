import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { BindingStore } from '../instances/binding-store.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { ForsakenBindings } from './forsaken-bindings.js';
import { Resealing } from './resealing.js';
import { UnsettledInstances } from './unsettled-instances.js';

const EVERY_MS = 15_000;

/**
 * Goes on with what nobody is at: bindings of dead brokers, instances that failed or diverged, roles that could not be
 * dropped. Never gives up.
 */
@Injectable()
export class BrokerJanitor {
  readonly #logger = new Logger('Janitor');
  #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly servers: PostgresServers,
    private readonly databases: TenantDatabases,
    private readonly bindings: BindingStore,
    private readonly forsaken: ForsakenBindings,
    private readonly unsettled: UnsettledInstances,
    private readonly resealing: Resealing,
  ) {}

  /** Takes up at once what this node's former process held, then looks around from time to time. */
  start(): void {
    this.#stopped = new AbortController();
    this.#running = this.#run(this.#stopped.signal);
  }

  /** Waits for what it is at. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(stopped: AbortSignal): Promise<void> {
    let former = true;
    while (!stopped.aborted) {
      try {
        if (former) await this.bindings.releaseFormer();
        if (former) await this.resealing.all(stopped);
        former = false;
        await this.#round(stopped);
      } catch (error) {
        this.#logger.warn(`cleaning up goes on later: ${describe(error)}`);
      }
      await pause(EVERY_MS, undefined, { signal: stopped }).catch(() => undefined);
    }
  }

  async #round(stopped: AbortSignal): Promise<void> {
    const [instances, bindings] = await Promise.all([this.unsettled.list(), this.forsaken.list()]);
    const health = await this.servers.health();
    const reachable = new Set(health.filter((server) => server.reachable).map(({ name }) => name));
    for (const binding of bindings) await this.#one(stopped, () => this.forsaken.finish(binding, reachable));
    for (const instance of instances) await this.#one(stopped, () => this.unsettled.settle(instance, reachable));
    for (const server of reachable) await this.#one(stopped, () => this.databases.dropLeftRoles(server, stopped));
  }

  async #one(stopped: AbortSignal, work: () => Promise<void>): Promise<void> {
    if (stopped.aborted) return;
    await work().catch((error: unknown) => this.#logger.warn(`cleaning up goes on later: ${describe(error)}`));
  }
}

function describe(error: unknown): string {
  return error instanceof BrokerError ? `${error.code}: ${error.message}` : String(error);
}

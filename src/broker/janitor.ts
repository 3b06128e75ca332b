import { Injectable, Logger } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { BindingStore } from '../instances/binding-store.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { Upkeep } from '../upkeep.js';
import { ForsakenBindings } from './forsaken-bindings.js';
import { Resealing } from './resealing.js';
import { UnsettledInstances } from './unsettled-instances.js';

const EVERY_MS = 15_000;

/**
 * Goes on with what nobody is at: bindings of dead brokers, instances that failed or diverged, roles that could not be
 * dropped. Never gives up.
 */
@Injectable()
export class BrokerJanitor extends Upkeep {
  readonly #logger = new Logger('Janitor');
  /** What this node's former process held is to be taken up at once. */
  #former = true;

  constructor(
    private readonly servers: PostgresServers,
    private readonly databases: TenantDatabases,
    private readonly bindings: BindingStore,
    private readonly forsaken: ForsakenBindings,
    private readonly unsettled: UnsettledInstances,
    private readonly resealing: Resealing,
  ) {
    super(EVERY_MS);
  }

  override start(): void {
    this.#former = true;
    super.start();
  }

  protected override async round(stopped: AbortSignal): Promise<void> {
    try {
      if (this.#former) await this.bindings.releaseFormer();
      if (this.#former) await this.resealing.all(stopped);
      this.#former = false;
      await this.#lookAround(stopped);
    } catch (error) {
      this.#logger.warn(`cleaning up goes on later: ${describe(error)}`);
    }
  }

  async #lookAround(stopped: AbortSignal): Promise<void> {
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

import { Injectable } from '@nestjs/common';
import { InstanceStore } from '../instances/instance-store.js';
import { type InstanceParameters } from '../instances/service-instance.entity.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { type TenantNames } from '../postgres/tenant.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';

/** Chooses the server of a new instance. */
@Injectable()
export class Placement {
  /** Instances placed by this broker whose rows are not committed yet: they count already. */
  readonly #pending = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly servers: PostgresServers,
    private readonly instances: InstanceStore,
    private readonly databases: TenantDatabases,
  ) {}

  /**
   * Gives names on a server to what `then` inserts. One at a time, so that many at once do not all see the same
   * emptiest server.
   * @throws BrokerError `server_unreachable`, `server_full`, `invalid_request` naming a locale that is not there
   */
  async place<T>(parameters: InstanceParameters, then: (names: TenantNames) => Promise<T>): Promise<T> {
    const chosen = this.#turn.then(() => this.#choose());
    this.#turn = chosen.catch(() => undefined);
    const server = await chosen;
    try {
      await this.assertLocale(server, parameters);
      return await then(this.databases.drawNames(server));
    } finally {
      this.#count(server, -1);
    }
  }

  /** @throws BrokerError `invalid_request` naming a locale that the server does not have */
  async assertLocale(server: string, { locale }: InstanceParameters): Promise<void> {
    if (locale !== undefined) await this.databases.assertLocale(server, locale);
  }

  async #choose(): Promise<string> {
    const counts = this.servers.names.length > 1 ? await this.instances.countByServer() : new Map<string, number>();
    for (const [server, pending] of this.#pending) counts.set(server, (counts.get(server) ?? 0) + pending);
    const server = await this.servers.place(counts);
    this.#count(server, 1);
    return server;
  }

  #count(server: string, by: number): void {
    this.#pending.set(server, (this.#pending.get(server) ?? 0) + by);
  }
}

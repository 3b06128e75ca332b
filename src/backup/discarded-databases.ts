import { setTimeout as pause } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { type RestoreNames } from '../postgres/shadow.js';
import { Restores } from '../postgres/restores.js';
import { type TenantNames } from '../postgres/tenant.js';
import { DiscardedDatabase } from './discarded-database.entity.js';

/** The transaction that writes them down is over by then, in ms. */
const SOON_MS = 200;

/** Databases that nothing needs any more: written down with what made them so, dropped afterwards. */
@Injectable()
export class DiscardedDatabases {
  readonly #logger = new Logger('Backup');
  #wanted = false;
  #wake: () => void = () => undefined;

  constructor(
    private readonly source: DataSource,
    private readonly restores: Restores,
  ) {}

  /** What a restore has left and could not remove. */
  async addShadow(instanceId: string, tenant: TenantNames, names: RestoreNames, manager: EntityManager): Promise<void> {
    await manager.query(
      `INSERT INTO discarded_database (server, database, instance_id, shadow) VALUES ($1, $2, $3, $4)
       ON CONFLICT DO NOTHING`,
      [tenant.server, names.database, instanceId, { tenant, names }],
    );
  }

  /** Some are about to be written down: they need not wait for the next round. */
  soon(): void {
    this.#wanted = true;
    this.#wake();
  }

  /** Resolves when there is something to drop, or after `everyMs`. */
  async untilWanted(everyMs: number, stopped: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const either = { signal: AbortSignal.any([stopped, woken.signal]) };
    if (!this.#wanted) await pause(everyMs, undefined, either).catch(() => undefined);
    if (!this.#wanted) return;
    this.#wanted = false;
    await pause(SOON_MS, undefined, { signal: stopped }).catch(() => undefined);
  }

  /** @throws BrokerError server_unreachable, database_in_use */
  async dropOf(instanceId: string, signal: AbortSignal): Promise<void> {
    for (const each of await this.source.manager.findBy(DiscardedDatabase, { instanceId }))
      await this.#drop(each, signal);
  }

  /** All of a server, or of all; what cannot be dropped now stays for later. */
  async drop(signal: AbortSignal, server?: string): Promise<void> {
    const all = await this.source.manager.findBy(DiscardedDatabase, server === undefined ? {} : { server });
    for (const each of all) {
      if (signal.aborted) return;
      await this.#drop(each, signal).catch((error: unknown) =>
        this.#logger.warn(`database ${each.database} on server ${each.server} is dropped later: ${String(error)}`),
      );
    }
  }

  async #drop({ server, database, shadow }: DiscardedDatabase, signal: AbortSignal): Promise<void> {
    if (shadow === null) await this.restores.dropRestorePoint(server, database, signal);
    else await this.restores.discardShadow(shadow.tenant, shadow.names, signal);
    await this.source.manager.delete(DiscardedDatabase, { server, database });
  }
}

import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type OperationContext, type Outcome } from '../operations/operation-handler.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { Restores } from '../postgres/restores.js';
import { type SwapIntent } from '../postgres/swap.js';
import { namesOf } from './backup-preflight.js';
import { DiscardedDatabases } from './discarded-databases.js';
import { restoreMemoOf, type SwapReport } from './restore-memo.js';
import { RestorePoints } from './restore-points.js';

const RECONCILE_MS = 15_000;
const PAUSE_MS = 2_000;

/**
 * The exchange of databases at the end of a restore or an undo. Its intent is written down before anything is changed;
 * from then on the operation is not cancelled, and after a crash the server says by OID whether it has happened.
 */
@Injectable()
export class Swapping {
  constructor(
    private readonly restores: Restores,
    private readonly servers: PostgresServers,
    private readonly points: RestorePoints,
    private readonly discarded: DiscardedDatabases,
  ) {}

  /** After a crash: the end of the operation where the swap had happened; undefined where it had not, or was not begun. */
  async resume(context: OperationContext, instance: ServiceInstance): Promise<Outcome | undefined> {
    const { intent } = restoreMemoOf(context.operation);
    if (context.formerRunner !== null) await this.servers.endSessionsOf(instance.server, context.formerRunner);
    if (!intent) return undefined;
    if ((await this.#reconciled(context, instance, intent)) === 'swapped') return this.#done(context, instance, null);
    await context.remember({ intent: null, decided: null });
    return undefined;
  }

  /**
   * @throws BrokerError database_in_use, no_restore_point, server_unreachable, cancelled: nothing has changed then
   */
  async swap(
    context: OperationContext,
    instance: ServiceInstance,
    databases: { incoming: string; outgoing: string },
    report: SwapReport,
  ): Promise<Outcome> {
    const names = namesOf(instance);
    await context.phase('swapping');
    const replacedBytes = await this.restores.databaseBytes(instance.server, instance.database, context.signal);
    const decide = (intent: SwapIntent) => context.decide({ intent, report, replacedBytes });
    try {
      const { outageMs, leftOut } = await this.restores.swap(names, databases, decide, context.signal);
      return this.#done(context, instance, outageMs, leftOut);
    } catch (error) {
      const { intent } = restoreMemoOf(context.operation);
      if (!intent || !isLost(error)) throw error;
      if ((await this.#reconciled(context, instance, intent)) === 'swapped') return this.#done(context, instance, null);
      throw error;
    }
  }

  /** A server that is away is waited for: until it answers nobody knows. */
  async #reconciled(context: OperationContext, instance: ServiceInstance, intent: SwapIntent) {
    for (;;)
      try {
        return await this.restores.reconcile(namesOf(instance), intent, AbortSignal.timeout(RECONCILE_MS));
      } catch (error) {
        const known = isLost(error) ? error : new BrokerError('server_unreachable', 'the server does not answer');
        if (error instanceof BrokerError && !isLost(error)) throw error;
        await context.waiting(known, new Date(Date.now() + PAUSE_MS));
        await pause(PAUSE_MS);
      }
  }

  #done(
    { operation }: OperationContext,
    { id: instanceId, server }: ServiceInstance,
    outageMs: number | null,
    leftOut: string[] = [],
  ): Outcome {
    const { intent, report, replacedBytes = 0 } = restoreMemoOf(operation);
    if (!intent || !report) throw new Error('a swap without intent');
    const point = this.points.describe(replacedBytes);
    const { left_out, ...counts } = report;
    const replaced = { instanceId, server, database: intent.outgoing, databaseBytes: replacedBytes };
    return {
      result: { ...counts, outage_ms: outageMs, restore_point: point, left_out: [...left_out, ...leftOut] },
      conclude: async (manager) => {
        await this.points.record({ ...replaced, operationId: operation.id }, point, intent.incoming, manager);
        this.discarded.soon();
      },
    };
  }
}

function isLost(error: unknown): error is BrokerError {
  return error instanceof BrokerError && error.code === 'server_unreachable';
}

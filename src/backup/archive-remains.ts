import { Inject, Injectable, Logger } from '@nestjs/common';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type EntityManager } from 'typeorm';
import { type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { BrokerError } from '../errors.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { LeftOperations } from '../operations/left-operations.js';
import { Dumps } from '../postgres/dumps.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { archiveKey, manifestKey } from '../storage/object-key.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { memoOf } from './backup-memo.js';
import { Spool } from './spool.js';

/** A storage that does not answer must not hold up the end of an operation, in ms. */
const PATIENCE_MS = 20_000;

/** Removes what the work on an archive has made before it failed or was cancelled. */
@Injectable()
export class ArchiveRemains {
  readonly #logger = new Logger('Backup');

  constructor(
    private readonly left: LeftOperations,
    private readonly servers: PostgresServers,
    private readonly dumps: Dumps,
    private readonly storages: StorageRegistry,
    private readonly spool: Spool,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /** As the end of an undo: what cannot be removed now is noted, and removed later. */
  async undo(operation: Operation, signal: AbortSignal): Promise<Outcome> {
    if ((await this.remove(operation, signal)) === undefined) return { forget: ['manifest'] };
    return { forget: ['manifest'], conclude: (manager) => this.noteLeft(operation, manager) };
  }

  noteLeft(operation: Operation, manager: EntityManager): Promise<void> {
    return this.left.note(operation, manager);
  }

  /** Before an attempt that starts from the beginning. @throws what hinders it */
  async clear({ operation, formerRunner, signal }: OperationContext): Promise<void> {
    const { names } = memoOf(operation);
    if (names === undefined) return;
    if (formerRunner !== null) await this.servers.endSessionsOf(names.server, formerRunner);
    const hindered = await this.remove(operation, signal);
    if (hindered !== undefined) throw hindered;
  }

  /** After a dump. False: to be dropped later. Not written down: a role that is gone can be dropped again. */
  async dropRole({ operation, signal }: OperationContext): Promise<boolean> {
    try {
      await this.#role(operation, signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      this.#logger.warn(`a role of ${operation.kind} ${operation.id} is dropped later: ${String(error)}`);
      return false;
    }
  }

  /**
   * Every part is tried; undefined when all is gone, else the first reason why it is not. Of an operation that has
   * succeeded only the role can be left: what is stored is the backup.
   */
  async remove(operation: Operation, signal: AbortSignal): Promise<Error | undefined> {
    const parts = [this.#role(operation, signal)];
    if (operation.state !== 'succeeded') parts.push(this.#spooled(operation), this.#stored(operation, signal));
    const ends = await Promise.allSettled(parts);
    signal.throwIfAborted();
    const reasons = ends.flatMap((end) => (end.status === 'rejected' ? [asError(end.reason)] : []));
    for (const { message } of reasons)
      this.#logger.warn(`what ${operation.kind} ${operation.id} has made is not removed: ${message}`);
    return reasons[0];
  }

  async #role(operation: Operation, signal: AbortSignal): Promise<void> {
    const { names, role } = memoOf(operation);
    if (names === undefined || typeof role !== 'string') return;
    await this.dumps.dropEphemeralRole(names, role, signal);
  }

  /** Another node's spool is swept when that node starts. */
  async #spooled(operation: Operation): Promise<void> {
    const { spool } = memoOf(operation);
    if (typeof spool === 'string') await this.spool.remove(spool);
  }

  /** The manifest first: without it there is no backup. */
  async #stored(operation: Operation, signal: AbortSignal): Promise<void> {
    const { storage: at, name, token, node } = memoOf(operation);
    if (at === undefined || name === undefined) return;
    const storage = this.storages.get(at);
    if (storage.ofOneNode && typeof node === 'string' && node !== this.identity.node)
      throw new BrokerError('storage_unreachable', `storage ${at} is at the broker node ${node}`);
    const soon = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    const key = archiveKey(operation.instanceId, name);
    await storage.delete(manifestKey(operation.instanceId, name), soon);
    if (typeof token === 'string') await storage.discard(token, key, soon);
    await storage.delete(key, soon);
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

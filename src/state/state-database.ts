import { Inject, Injectable, Logger } from '@nestjs/common';
import { setTimeout as pause } from 'node:timers/promises';
import { DataSource, MigrationExecutor } from 'typeorm';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { migrationOptions } from './state-data-source.js';
import { prefersTls, refusesTls } from './state-tls.js';
import { startFault, stateUnreachable, translated } from './state-errors.js';

/** Any fixed number: brokers that start at once take turns at it. */
const MIGRATION_LOCK = 7_203_115_902;

const PING_HOLDS_MS = 1_000;

/** Waits between attempts to connect, in ms; the last one repeats. */
const BACK_OFF_MS = [200, 500, 1_000, 2_000, 5_000];

/**
 * The broker's own database. Everything else injects `DataSource` and uses it as TypeORM offers; a database that
 * cannot be reached shows there as `server_unreachable`.
 */
@Injectable()
export class StateDatabase {
  private readonly logger = new Logger(StateDatabase.name);
  private pinging: Promise<void> | undefined;
  private answeredAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly dataSource: DataSource,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
  ) {}

  /** Connects and migrates. Tries until the database answers; rejects only when the signal aborts or a migration fails. @throws StartError */
  async connect(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      try {
        if (!this.dataSource.isInitialized) await this.dataSource.initialize();
        return await this.migrate();
      } catch (error) {
        if (this.dataSource.isInitialized && !stateUnreachable(error)) throw startFault(error, this.config.state.url);
        if (this.fallsBackToPlain(error)) continue;
        const wait = BACK_OFF_MS[Math.min(attempt, BACK_OFF_MS.length - 1)] ?? 0;
        this.logger.warn(`the state database cannot be reached, next try in ${wait} ms: ${message(error)}`);
        await pause(wait, undefined, { signal });
      }
    }
  }

  /**
   * Resolves when the database answers; rejects with `server_unreachable` within 10 s. Several at once are one, and an
   * answer of the last second serves: whoever may ask must not be able to take all connections.
   */
  ping(): Promise<void> {
    if (performance.now() - this.answeredAt < PING_HOLDS_MS) return Promise.resolve();
    this.pinging ??= this.dataSource
      .query('SELECT 1')
      .then(() => void (this.answeredAt = performance.now()))
      .finally(() => (this.pinging = undefined));
    return this.pinging;
  }

  async close(): Promise<void> {
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }

  /** Once, as `prefer` has it: the next try goes without TLS. */
  private fallsBackToPlain(error: unknown): boolean {
    const { ssl } = this.dataSource.options as { ssl?: unknown };
    if (ssl === false || !prefersTls(this.config.state) || !refusesTls(error)) return false;
    this.dataSource.setOptions({ ssl: false });
    return true;
  }

  private async migrate(): Promise<void> {
    const pending = await new MigrationExecutor(this.dataSource).getPendingMigrations();
    if (pending.length === 0) return;
    const session = new DataSource(migrationOptions(this.dataSource.options));
    try {
      await session.initialize();
      const runner = session.createQueryRunner();
      // Held by the session: it goes with it, whatever happens.
      await runner.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
      const done = await new MigrationExecutor(session, runner).executePendingMigrations();
      for (const { name } of done) this.logger.log(`migrated the state database: ${name}`);
    } catch (error) {
      throw translated(error);
    } finally {
      if (session.isInitialized) await session.destroy();
    }
  }
}

function message(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(message).join('; ');
  return error instanceof Error ? error.message : String(error);
}

import { Injectable, Logger } from '@nestjs/common';
import { setTimeout as pause } from 'node:timers/promises';
import { DataSource, MigrationExecutor } from 'typeorm';
import { migrationOptions } from './state-data-source.js';
import { translated } from './state-errors.js';

/** Any fixed number: brokers that start at once take turns at it. */
const MIGRATION_LOCK = 7_203_115_902;

/** Waits between attempts to connect, in ms; the last one repeats. */
const BACK_OFF_MS = [200, 500, 1_000, 2_000, 5_000];

/**
 * The broker's own database. Everything else injects `DataSource` and uses it as TypeORM offers; a database that
 * cannot be reached shows there as `server_unreachable`.
 */
@Injectable()
export class StateDatabase {
  private readonly logger = new Logger(StateDatabase.name);

  constructor(private readonly dataSource: DataSource) {}

  /** Connects and migrates. Tries until the database answers; rejects only when the signal aborts or a migration fails. */
  async connect(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !this.dataSource.isInitialized; attempt++) {
      signal.throwIfAborted();
      try {
        await this.dataSource.initialize();
      } catch (error) {
        const wait = BACK_OFF_MS[Math.min(attempt, BACK_OFF_MS.length - 1)] ?? 0;
        this.logger.warn(`the state database cannot be reached, next try in ${wait} ms: ${message(error)}`);
        await pause(wait, undefined, { signal });
      }
    }
    await this.migrate();
  }

  /** Resolves when the database answers; rejects with `server_unreachable` within 10 s. */
  async ping(): Promise<void> {
    await this.dataSource.query('SELECT 1');
  }

  async close(): Promise<void> {
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }

  private async migrate(): Promise<void> {
    const pending = await new MigrationExecutor(this.dataSource).getPendingMigrations();
    if (pending.length === 0) return;
    const session = new DataSource(migrationOptions(this.dataSource.options));
    await session.initialize();
    const runner = session.createQueryRunner();
    try {
      // Held by the session: it goes with it, whatever happens.
      await runner.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
      const done = await new MigrationExecutor(session, runner).executePendingMigrations();
      for (const { name } of done) this.logger.log(`migrated the state database: ${name}`);
    } catch (error) {
      throw translated(error);
    } finally {
      await runner.release();
      await session.destroy();
    }
  }
}

function message(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(message).join('; ');
  return error instanceof Error ? error.message : String(error);
}

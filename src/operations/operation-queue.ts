import { Inject, Injectable, Logger } from '@nestjs/common';
import { type Pool, type PoolClient } from 'pg';
import { type Db, type FetchOptions, PgBoss } from 'pg-boss';
import { DataSource, type EntityManager } from 'typeorm';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { startFault, translated } from '../state/state-errors.js';
import { type Operation, type OperationKind } from './operation.entity.js';

/** After so long without a beat the job of a dead broker goes to another one; pg-boss allows no less. */
export const HEARTBEAT_SECONDS = 10;

/** pg-boss gives a job to somebody else after that, whatever its beats say; it allows no more. */
export const LONGEST_RUN_HOURS = 24;

/** How often pg-boss looks for jobs without a beat. */
const SUPERVISE_SECONDS = 4;

/** The priority of the jobs that need no place; the others have 0. */
const URGED = 1;

/** A job as it was taken. pg-boss counts its takes, and what it is told about an earlier take it ignores. */
export interface Job {
  readonly id: string;
  readonly retryCount: number;
}

/**
 * The jobs that carry operations to brokers: one pg-boss queue per kind, so that a broker takes only kinds that it
 * can do; the job's id is the operation's. A job says who works, never what came of it: that stands in `operation`,
 * and an ended operation has no job. A transaction that writes both writes the job first, lest two wait for each other.
 */
@Injectable()
export class OperationQueue {
  private readonly logger = new Logger(OperationQueue.name);
  private readonly ensured = new Map<OperationKind, Promise<void>>();
  private boss: PgBoss | undefined;

  constructor(
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    private readonly dataSource: DataSource,
  ) {}

  /** Makes or migrates pg-boss's tables (brokers take turns by its own lock) and the queues of these kinds. */
  async start(kinds: OperationKind[]): Promise<void> {
    const worker = this.config.operations.roles.includes('worker');
    const boss = new PgBoss({
      db: { executeSql: (text, values) => this.execute(text, values) },
      schema: 'pgboss',
      schedule: false,
      supervise: worker,
      superviseIntervalSeconds: SUPERVISE_SECONDS,
      monitorIntervalSeconds: SUPERVISE_SECONDS,
      flowIntervalSeconds: 3_600,
      reindex: false,
      registerInstance: false,
      openTelemetry: { enabled: false },
    });
    boss.on('error', (error) => this.logger.warn(`pg-boss: ${error.message}`));
    boss.on('warning', ({ message }) => this.logger.warn(`pg-boss: ${message}`));
    try {
      await boss.start();
    } catch (error) {
      await boss.stop({ graceful: false, close: false }).catch(() => undefined);
      throw startFault(error, this.config.state.url);
    }
    this.boss = boss;
    for (const kind of kinds) await this.ensure(kind);
  }

  async stop(): Promise<void> {
    await this.boss?.stop({ graceful: false, close: false });
    this.boss = undefined;
    this.ensured.clear();
  }

  /** Makes the queue of a kind once. */
  ensure(kind: OperationKind): Promise<void> {
    let made = this.ensured.get(kind);
    if (made === undefined) {
      made = this.create(kind);
      this.ensured.set(kind, made);
      made.catch(() => this.ensured.delete(kind));
    }
    return made;
  }

  /** Within the manager's transaction. An operation that has its job already keeps it. */
  async enqueue(manager: EntityManager, ...operations: Pick<Operation, 'id' | 'kind'>[]): Promise<void> {
    for (const { kind, id } of operations) await this.started.send(kind, null, { id, db: within(manager) });
  }

  /** Takes up to `limit` jobs of a kind; from now on they want beats. */
  async take(manager: EntityManager, kind: OperationKind, limit: number): Promise<Job[]> {
    return this.fetch(manager, kind, { batchSize: limit });
  }

  /** Lets a job that nobody has taken be taken by `takeUrged`; makes it where it is missing. */
  async urge(manager: EntityManager, kind: OperationKind, id: string): Promise<void> {
    await this.started.upsert(kind, null, { id, priority: URGED, db: within(manager) });
  }

  /** As `take`, of the urged ones. */
  async takeUrged(manager: EntityManager, kind: OperationKind, limit: number): Promise<Job[]> {
    return this.fetch(manager, kind, { batchSize: limit, minPriority: URGED });
  }

  async beat(kind: OperationKind, jobs: Job[]): Promise<void> {
    await this.started.touch(kind, jobs);
  }

  /** Gives a job back: whoever asks next gets it. With an id alone it does not matter who has taken it. */
  async giveBack(manager: EntityManager, kind: OperationKind, job: Job | string): Promise<void> {
    await this.started.fail(kind, typeof job === 'string' ? job : { ...job }, null, { db: within(manager) });
  }

  async remove(manager: EntityManager, kind: OperationKind, id: string): Promise<void> {
    await this.started.deleteJob(kind, id, { db: within(manager) });
  }

  private async fetch(manager: EntityManager, kind: OperationKind, options: FetchOptions): Promise<Job[]> {
    const jobs = await this.started.fetch(kind, { ...options, db: within(manager) });
    return jobs.map(({ id, retryCount }) => ({ id, retryCount }));
  }

  private get started(): PgBoss {
    if (this.boss === undefined) throw new Error('operations are not started');
    return this.boss;
  }

  private async create(kind: OperationKind): Promise<void> {
    await this.started.createQueue(kind, {
      policy: 'standard',
      heartbeatSeconds: HEARTBEAT_SECONDS,
      expireInSeconds: LONGEST_RUN_HOURS * 3600,
      retentionSeconds: 366 * 86_400,
      // How often an operation may start again is no concern of the job's.
      retryLimit: 1_000_000,
      retryDelay: 0,
    });
  }

  /** As pg-boss does it on a pool of its own: a connection whose statement failed is given up. */
  private async execute(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> {
    const pool = (this.dataSource.driver as unknown as { master: Pool }).master;
    try {
      return await pool.query(text, values);
    } catch (error) {
      throw translated(error);
    }
  }
}

function within(manager: EntityManager): Db {
  return {
    executeSql: async (text, values) => {
      const client = (await manager.queryRunner?.connect()) as PoolClient;
      try {
        return await client.query(text, values);
      } catch (error) {
        throw translated(error);
      }
    },
  };
}

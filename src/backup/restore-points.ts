import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type RestorePointDto } from './restore.dto.js';
import { RestorePoint } from './restore-point.entity.js';

/** A database that a restore or an undo has replaced. */
export interface Replaced {
  instanceId: string;
  server: string;
  database: string;
  databaseBytes: number;
  operationId: string;
}

/** What is given up is no restore point from the same transaction on, and dropped afterwards. */
const GIVE_UP = `WITH given AS (DELETE FROM restore_point WHERE instance_id = $1 AND database = $2 RETURNING *)
  INSERT INTO discarded_database (server, database, instance_id)
  SELECT server, database, instance_id FROM given`;

/** What the state database knows of restore points: one per instance, for `restore_points.keep`. */
@Injectable()
export class RestorePoints {
  constructor(
    private readonly source: DataSource,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
  ) {}

  /** How long what a restore replaces is kept, in ms. */
  get keepMs(): number {
    return this.config.restore_points.keep;
  }

  find(instanceId: string): Promise<RestorePoint | null> {
    return this.source.manager.findOneBy(RestorePoint, { instanceId });
  }

  /** @throws BrokerError `no_restore_point` */
  async get(instanceId: string): Promise<RestorePoint> {
    const found = await this.find(instanceId);
    if (found === null) throw none();
    return found;
  }

  /**
   * Keeps a restore point from expiring while an undo begins, in whose transaction this is.
   * @throws BrokerError `no_restore_point`
   */
  async hold(instanceId: string, manager: EntityManager): Promise<void> {
    const [, count] = await manager.query<[unknown, number]>(
      `UPDATE restore_point SET expires_at = greatest(expires_at, now() + interval '1 day') WHERE instance_id = $1`,
      [instanceId],
    );
    if (count === 0) throw none();
  }

  /** How the restore point that is about to be written looks. */
  describe(databaseBytes: number): RestorePointDto {
    const now = Date.now();
    return {
      created_at: new Date(now).toISOString(),
      expires_at: new Date(now + this.keepMs).toISOString(),
      database_bytes: databaseBytes,
    };
  }

  /** With the end of a swap. The former one is discarded, unless it is the one that was put in place. */
  async record(replaced: Replaced, times: RestorePointDto, putInPlace: string, manager: EntityManager): Promise<void> {
    const { instanceId, server, database, databaseBytes, operationId } = replaced;
    await manager.query(
      `INSERT INTO discarded_database (server, database, instance_id)
       SELECT server, database, instance_id FROM restore_point
       WHERE instance_id = $1 AND database NOT IN ($2, $3) ON CONFLICT DO NOTHING`,
      [instanceId, database, putInPlace],
    );
    await manager.query(
      `INSERT INTO restore_point (instance_id, server, database, database_bytes, operation_id, created_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (instance_id) DO UPDATE SET server = excluded.server,
         database = excluded.database, database_bytes = excluded.database_bytes, operation_id = excluded.operation_id,
         created_at = excluded.created_at, expires_at = excluded.expires_at`,
      [instanceId, server, database, databaseBytes, operationId, times.created_at, times.expires_at],
    );
  }

  /** Whose time is over. */
  async expire(): Promise<void> {
    const expired = await this.source.query<{ instance_id: string }[]>(
      `SELECT instance_id FROM restore_point WHERE expires_at < now()`,
    );
    for (const { instance_id } of expired) await this.#giveUp(`expires_at < now()`, [instance_id]);
  }

  /** How large those of a server were when they were replaced. */
  async bytesOf(server: string): Promise<number> {
    const [row] = await this.source.query<{ bytes: number }[]>(
      `SELECT coalesce(sum(database_bytes), 0)::float8 AS bytes FROM restore_point WHERE server = $1`,
      [server],
    );
    return row?.bytes ?? 0;
  }

  /**
   * Gives up the oldest one of a server that nobody is about to use, that of the instance only after all others; false
   * where there is none.
   */
  async giveUpOldest(server: string, lastId: string): Promise<boolean> {
    const points = await this.source.query<{ instance_id: string }[]>(
      `SELECT instance_id FROM restore_point WHERE server = $1 ORDER BY instance_id = $2, created_at`,
      [server, lastId],
    );
    for (const { instance_id } of points) if (await this.#giveUp('true', [instance_id])) return true;
    return false;
  }

  /** Before the instance is removed. */
  async giveUpOf(instanceId: string): Promise<void> {
    const point = await this.find(instanceId);
    if (point !== null) await this.source.query(GIVE_UP, [instanceId, point.database]);
  }

  /** The row is locked before its instance is looked at: an undo that begins meanwhile finds nothing, or is seen. */
  #giveUp(where: string, [instanceId]: [string]): Promise<boolean> {
    return this.source.transaction(async (manager) => {
      const [point] = await manager.query<{ database: string }[]>(
        `SELECT database FROM restore_point WHERE instance_id = $1 AND ${where} FOR UPDATE SKIP LOCKED`,
        [instanceId],
      );
      if (point === undefined) return false;
      const busy = await manager.query<unknown[]>(
        `SELECT FROM operation WHERE instance_id = $1 AND kind = 'undo_restore' AND state IN ('queued', 'running')`,
        [instanceId],
      );
      if (busy.length > 0) return false;
      await manager.query(GIVE_UP, [instanceId, point.database]);
      return true;
    });
  }
}

function none(): BrokerError {
  return new BrokerError('no_restore_point', 'this instance has no restore point: nothing was restored, or it is over');
}

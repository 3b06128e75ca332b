import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { type QueryDeepPartialEntity } from 'typeorm/query-builder/QueryPartialEntity.js';
import { BrokerError } from '../errors.js';
import { Backup, type BackupState } from './backup.entity.js';

/** Stands for the newest backup wherever a name is expected. */
export const LATEST = 'latest';

export type BackupEntry = Omit<Backup, 'recordedAt'>;

/** The catalogue of backups. Every look-up is by instance and name together. */
@Injectable()
export class BackupStore {
  constructor(private readonly source: DataSource) {}

  /**
   * By name, or the newest one for `latest`; within a storage where that is given.
   * @throws BrokerError `unknown_backup`
   */
  async get(instanceId: string, name: string, storage?: string): Promise<Backup> {
    const within = { instanceId, ...(storage !== undefined && { storage }) };
    const found =
      name === LATEST
        ? await this.source.manager.findOne(Backup, {
            where: within,
            order: { createdAt: 'DESC', name: 'DESC' },
          })
        : await this.source.manager.findOneBy(Backup, { ...within, name });
    if (found !== null) return found;
    const where = storage === undefined ? '' : ` in storage ${storage}`;
    throw new BrokerError(
      'unknown_backup',
      `this instance has no ${name === LATEST ? 'backup' : `backup ${name}`}${where}`,
    );
  }

  /** Newest first. */
  of(instanceId: string, storage?: string): Promise<Backup[]> {
    return this.source.manager.find(Backup, {
      where: { instanceId, ...(storage !== undefined && { storage }) },
      order: { createdAt: 'DESC', name: 'DESC' },
    });
  }

  /** Every backup of a storage; of a folder only those of that node. */
  ofStorage(storage: string, node: string | null): Promise<Backup[]> {
    return this.source.manager.findBy(Backup, { storage, ...(node !== null && { node }) });
  }

  /**
   * A name is free again only when all is gone that a failed or cancelled backup of that name has left: its late
   * removal must never meet a later backup.
   * @throws BrokerError `backup_exists`
   */
  async assertFree(instanceId: string, name: string, manager: EntityManager = this.source.manager): Promise<void> {
    if (await manager.existsBy(Backup, { instanceId, name }))
      throw new BrokerError('backup_exists', `this instance has a backup ${name} already`);
    const left = `SELECT FROM operation WHERE instance_id = $1 AND memo->>'name' = $2 AND memo->>'left' = 'true' LIMIT 1`;
    if ((await manager.query<unknown[]>(left, [instanceId, name])).length > 0)
      throw new BrokerError(
        'backup_exists',
        `what a failed or cancelled backup ${name} has left in its storage is not removed yet: take another name, or try again later`,
      );
  }

  /** Enters a backup, or says anew what its manifest says. One of that name in another storage stays: false. */
  async record(entry: BackupEntry, manager: EntityManager = this.source.manager): Promise<boolean> {
    const written = await manager
      .createQueryBuilder()
      .insert()
      .into(Backup)
      .values(entry as QueryDeepPartialEntity<Backup>)
      .orUpdate(
        [
          'node',
          'state',
          'origin',
          'created_at',
          'size_bytes',
          'sha256',
          'compression',
          'database_bytes',
          'rows',
        ].concat(['tables', 'server_version', 'dump_version', 'lsn', 'requested_by', 'operation_id']),
        ['instance_id', 'name'],
        { overwriteCondition: { where: { storage: entry.storage } } },
      )
      .returning('name')
      .execute();
    return (written.raw as unknown[]).length === 1;
  }

  /** Enters what was found in a storage; what is known under that name stays: false. */
  async enter(entry: BackupEntry): Promise<boolean> {
    const written = await this.source.manager
      .createQueryBuilder()
      .insert()
      .into(Backup)
      .values(entry as QueryDeepPartialEntity<Backup>)
      .orIgnore()
      .returning('name')
      .execute();
    return (written.raw as unknown[]).length === 1;
  }

  exists(instanceId: string, name: string, storage: string): Promise<boolean> {
    return this.source.manager.existsBy(Backup, { instanceId, name, storage });
  }

  async mark({ instanceId, name }: Pick<Backup, 'instanceId' | 'name'>, state: BackupState): Promise<void> {
    await this.source.manager.update(Backup, { instanceId, name }, { state });
  }

  async remove(instanceId: string, name: string, manager: EntityManager = this.source.manager): Promise<void> {
    await manager.delete(Backup, { instanceId, name });
  }

  /**
   * Notes since when the instances of backups are gone. Only a deprovision that is known tells: backups that were
   * found in a storage by an empty catalogue stay. What a rescan finds later counts from then on.
   */
  async noteOrphans(): Promise<void> {
    await this.source.query(`
      UPDATE backup SET orphaned_at = gone.at FROM (
        SELECT instance_id, name, (SELECT greatest(max(finished_at), backup.recorded_at) FROM operation
            WHERE operation.instance_id = backup.instance_id AND kind = 'deprovision' AND state = 'succeeded' HAVING count(*) > 0) AS at
        FROM backup WHERE orphaned_at IS NULL
          AND NOT EXISTS (SELECT FROM service_instance WHERE id = backup.instance_id)) gone
      WHERE backup.instance_id = gone.instance_id AND backup.name = gone.name AND gone.at IS NOT NULL`);
    await this.source.query(`
      UPDATE backup SET orphaned_at = NULL WHERE orphaned_at IS NOT NULL
        AND EXISTS (SELECT FROM service_instance WHERE id = backup.instance_id)`);
  }

  /**
   * Whose instance has been gone for longer than that. Those in the folder of another node are that node's to remove,
   * unless it does not come.
   */
  orphans(keptMs: number, node: string): Promise<Backup[]> {
    return this.source.manager
      .createQueryBuilder(Backup, 'backup')
      .where(`backup.orphaned_at < now() - :keptMs::float8 * interval '1 millisecond'`, { keptMs })
      .andWhere(
        `(backup.node IS NULL OR backup.node = :node
          OR backup.orphaned_at < now() - interval '1 day' - :keptMs::float8 * interval '1 millisecond')`,
        { node },
      )
      .orderBy('backup.orphaned_at')
      .getMany();
  }
}

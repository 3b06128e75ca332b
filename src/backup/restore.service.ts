import { Injectable } from '@nestjs/common';
import { InstanceStore } from '../instances/instance-store.js';
import { NODE_WAIT_MS } from '../operations/operation-store.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { assertReady, type Caller } from './backup.service.js';
import { BackupLook } from './backup-look.js';
import { type RestoreOutlookDto, type RestorePointDto, type RestoreQuery } from './restore.dto.js';
import { type RestoreInput } from './restore.handler.js';
import { type RestorePoint } from './restore-point.entity.js';
import { RestorePoints } from './restore-points.js';

/** Begins restores and undos, as far as it is known beforehand that they make sense. */
@Injectable()
export class RestoreService {
  constructor(
    private readonly instances: InstanceStore,
    private readonly look: BackupLook,
    private readonly points: RestorePoints,
    private readonly operations: OperationsService,
    private readonly databases: TenantDatabases,
  ) {}

  /** @throws BrokerError `unknown_instance`, `server_unreachable` */
  async outlook(id: string): Promise<RestoreOutlookDto> {
    const instance = await this.instances.get(id);
    const [size, point] = await Promise.all([this.databases.size(instance), this.points.find(id)]);
    return {
      database_bytes: size ?? null,
      keep_ms: this.points.keepMs,
      ...(point && { restore_point: pointDto(point) }),
    };
  }

  /** @throws BrokerError `unknown_instance`, `unknown_backup`, `unknown_storage`, `operation_in_progress`, `conflict` */
  async restore(id: string, name: string, query: RestoreQuery, caller: Caller): Promise<Operation> {
    await this.instances.get(id);
    const backup = await this.look.find(query.from ?? id, name, query.storage);
    const input: RestoreInput = {
      from: backup.instanceId,
      name: backup.name,
      sha256: backup.sha256,
      acceptErrors: query.accept_errors === 'true',
    };
    const node_until = new Date(Date.now() + NODE_WAIT_MS).toISOString();
    return this.operations.begin(
      {
        kind: 'restore',
        instanceId: id,
        input: { ...input },
        ...(backup.node !== null && { memo: { node: backup.node, node_until } }),
        ...caller,
      },
      (manager) => assertReady(id, manager),
    );
  }

  /** @throws BrokerError `unknown_instance`, `no_restore_point`, `operation_in_progress` */
  async undo(id: string, caller: Caller): Promise<Operation> {
    await this.instances.get(id);
    await this.points.get(id);
    return this.operations.begin({ kind: 'undo_restore', instanceId: id, ...caller }, async (manager) => {
      await assertReady(id, manager);
      await this.points.hold(id, manager);
    });
  }
}

function pointDto({ createdAt, expiresAt, databaseBytes }: RestorePoint): RestorePointDto {
  return {
    created_at: createdAt.toISOString(),
    expires_at: expiresAt.toISOString(),
    database_bytes: databaseBytes,
  };
}

import { Inject, Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { type Requester } from '../auth/requester.js';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError, unknownInstance } from '../errors.js';
import { ServiceInstance } from '../instances/service-instance.entity.js';
import { NODE_WAIT_MS } from '../operations/operation-store.js';
import { type Operation, type OperationMemo } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { StorageRegistry } from '../storage/storage-registry.js';
import { BackupLook } from './backup-look.js';
import { BackupStore, LATEST } from './backup-store.js';
import { type BackupInput } from './backup.handler.js';
import { type Backup } from './backup.entity.js';
import { namesTag } from './byte-range.js';
import { type DeleteBackupInput } from './delete-backup.handler.js';
import { tagOf } from './download.service.js';
import { type RescanInput } from './rescan.handler.js';

export interface Caller {
  requestedBy: Requester;
  requestId: string;
}

/** Begins the work on backups that callers ask for. */
@Injectable()
export class BackupService {
  constructor(
    private readonly operations: OperationsService,
    private readonly storages: StorageRegistry,
    private readonly backups: BackupStore,
    private readonly look: BackupLook,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /**
   * @throws BrokerError `unknown_storage`, `unknown_instance`, `backup_exists`, `operation_in_progress`, `conflict` for
   *   an instance that is not ready
   */
  make(instanceId: string, ask: { name?: string; storage?: string }, caller: Caller): Promise<Operation> {
    const { name } = ask;
    const input: BackupInput = { storage: this.storages.get(ask.storage).name, ...(name !== undefined && { name }) };
    return this.operations.begin({ kind: 'backup', instanceId, input: { ...input }, ...caller }, async (manager) => {
      await assertReady(instanceId, manager);
      if (name !== undefined) await this.backups.assertFree(instanceId, name, manager);
    });
  }

  /**
   * @param ifMatch entity tags of which one must be that of the backup
   * @throws BrokerError `unknown_backup`, `precondition_failed`, `operation_in_progress`; `invalid_request` for `latest`
   */
  async delete(
    instanceId: string,
    name: string,
    { storage, ifMatch }: { storage: string | undefined; ifMatch: string | undefined },
    caller: Caller,
  ): Promise<Operation> {
    if (name === LATEST)
      throw new BrokerError(
        'invalid_request',
        'backup_name: expected the name of the backup: "latest" may be another one by then',
      );
    const backup = await this.look.find(instanceId, name, storage);
    if (ifMatch !== undefined && !namesTag(ifMatch, tagOf(backup), 'strong'))
      throw new BrokerError('precondition_failed', `if-match: the backup has the entity tag ${tagOf(backup)}`);
    return this.beginDelete(backup, caller);
  }

  beginDelete({ instanceId, name, sha256, node }: Backup, caller: Caller): Promise<Operation> {
    const input: DeleteBackupInput = { name, sha256 };
    const memo = this.#boundTo(node);
    return this.operations.begin({ kind: 'delete_backup', instanceId, input: { ...input }, memo, ...caller });
  }

  /** Backups whose time after the end of their instance is over. */
  async orphans(): Promise<Backup[]> {
    await this.backups.noteOrphans();
    return this.backups.orphans(this.config.backups.keep_after_deprovision, this.identity.node);
  }

  /** @throws BrokerError `unknown_storage`, `operation_in_progress` */
  rescan(storage: string, caller: Caller): Promise<Operation> {
    const { name, ofOneNode } = this.storages.get(storage);
    const input: RescanInput = { storage: name };
    const memo = this.#boundTo(ofOneNode ? this.identity.node : null);
    return this.operations.begin({ kind: 'rescan', instanceId: '', input: { ...input }, memo, ...caller });
  }

  /** What lies in a folder of this machine is this broker's work, if it works and does not die before. */
  #boundTo(node: string | null): OperationMemo {
    if (node !== this.identity.node || !this.config.operations.roles.includes('worker')) return {};
    return { node, node_until: new Date(Date.now() + NODE_WAIT_MS).toISOString() };
  }
}

/** @throws BrokerError `unknown_instance`, `conflict` */
export async function assertReady(instanceId: string, manager: EntityManager): Promise<void> {
  const instance = await manager.findOneBy(ServiceInstance, { id: instanceId });
  if (instance === null) throw unknownInstance();
  if (instance.state === 'ready') return;
  throw new BrokerError('conflict', `the service instance is not ready: it is ${instance.state}`);
}

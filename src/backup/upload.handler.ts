import { Inject, Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { type Operation } from '../operations/operation.entity.js';
import { archiveKey } from '../storage/object-key.js';
import { ArchiveKeeping } from './archive-keeping.js';
import { ArchiveRemains } from './archive-remains.js';
import { memoOf } from './backup-memo.js';
import { type Manifest } from './manifest.js';
import { type ReceivedArchive, type UploadInput, UploadReceiving } from './upload-receiving.js';

/** Receive, check, store. What is whole in the spool is stored whatever happens; before, it is gone with its caller. */
@Injectable()
export class UploadHandler implements OperationHandler {
  readonly kind = 'upload';
  readonly unmetered = true;
  readonly everywhere = true;
  readonly ownDeadline = true;

  constructor(
    private readonly receiving: UploadReceiving,
    private readonly keeping: ArchiveKeeping,
    private readonly remains: ArchiveRemains,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    if (memoOf(context.operation).manifest === undefined) await this.#receive(context);
    const entry = await this.keeping.keep(context, 'storing');
    const { result, ...outcome } = this.keeping.kept(entry);
    return { ...outcome, result: { ...result, left_out: context.operation.memo['leftOut'] } };
  }

  undo({ operation, signal }: OperationContext): Promise<Outcome> {
    return this.remains.undo(operation, signal);
  }

  abandon(operation: Operation, manager: EntityManager): Promise<void> {
    return this.remains.noteLeft(operation, manager);
  }

  async #receive(context: OperationContext): Promise<void> {
    const { storage, name } = context.operation.input as unknown as UploadInput;
    const archive = await this.receiving.receive(context);
    const manifest = this.#manifest(context.operation, name, archive);
    const leftOut = archive.inspected.leftOut;
    await context.remember({ ...this.keeping.spooled(manifest), storage, name, leftOut, token: null });
  }

  #manifest(operation: Operation, name: string, { measured, inspected }: ReceivedArchive): Manifest {
    return {
      version: 1,
      instance_id: operation.instanceId,
      backup_name: name,
      origin: 'upload',
      created_at: new Date().toISOString(),
      archive: {
        file: archiveKey(operation.instanceId, name).replace(/^.*\//, ''),
        ...measured,
        compression: null,
        server_version: inspected.serverVersion ?? null,
        dump_version: inspected.dumpVersion ?? null,
      },
      dump: null,
      requested_by: operation.requestedBy,
      operation_id: operation.id,
      node: this.identity.node,
    };
  }
}

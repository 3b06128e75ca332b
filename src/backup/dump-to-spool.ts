import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { type Compression, type DumpFacts } from '../postgres/dump-facts.js';
import { type CatalogFacts } from '../postgres/dump-snapshot.js';
import { Dumps } from '../postgres/dumps.js';
import { type TenantNames } from '../postgres/tenant.js';
import { archiveKey } from '../storage/object-key.js';
import { type StorageProvider } from '../storage/storage-provider.js';
import { type LiveUpload, resumableBy } from './archive-keeping.js';
import { type Manifest, readable } from './manifest.js';
import { Spool } from './spool.js';
import { type Measured, type SpoolFile } from './spool-file.js';

export interface DumpAsk {
  names: TenantNames;
  backupName: string;
  role: string;
  /** File of the spool. */
  spool: string;
  storage: StorageProvider;
  compression: Compression | undefined;
  /** As the preflight has just found it. */
  catalog: CatalogFacts;
  /** About how many bytes will come. */
  sizeHint: number;
}

export interface SpooledDump {
  manifest: Manifest;
  /** Absent for a storage that takes the finished file over. */
  live: LiveUpload | undefined;
}

/**
 * One pg_dump through one pipe into the spool, measured as it passes. What is in the spool goes on to a remote storage
 * at the same time, at its own pace: a slow storage holds up neither pg_dump nor its locks.
 */
@Injectable()
export class DumpToSpool {
  constructor(
    private readonly dumps: Dumps,
    private readonly spool: Spool,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /** Names for what a dump makes, to be written down before. */
  draw(operationId: string): { role: string; spool: string } {
    return { role: this.dumps.drawEphemeralRole(), spool: this.spool.draw(operationId) };
  }

  /** @throws BrokerError dump_failed, server_unreachable, spool_full, timed_out after `operations.deadline` */
  async run(context: OperationContext, ask: DumpAsk): Promise<SpooledDump> {
    const failed = new AbortController();
    const signal = AbortSignal.any([context.signal, failed.signal]);
    const late = setTimeout(() => failed.abort(tooLong()), this.config.operations.deadline);
    const file = await this.spool.create(ask.spool);
    const live = ask.storage.type === 'local' ? undefined : this.#upload(context, ask, file, signal);
    try {
      const { measured, facts } = await this.#dump(context, ask, file, signal);
      return { manifest: readable(this.#manifest(context, ask, measured, facts)), live };
    } catch (error) {
      failed.abort(error);
      await file.abandon(error instanceof Error ? error : new Error(String(error)));
      await live?.ended;
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  async #dump(context: OperationContext, ask: DumpAsk, file: SpoolFile, signal: AbortSignal) {
    const seen = { percent: 0 };
    const { names, role, compression, catalog } = ask;
    const onProgress = ({ percent }: { percent: number }) => {
      seen.percent = percent;
      context.progress({ bytes: file.size, percent });
    };
    const { archive, facts } = await this.dumps.dump(names, { role, compression, onProgress, catalog }, signal);
    for await (const chunk of archive) {
      await file.write(chunk as Buffer);
      context.progress({ bytes: file.size, percent: seen.percent });
    }
    const measured = await file.finish();
    return { measured, facts: await facts(this.spool.path(ask.spool)) };
  }

  #upload(context: OperationContext, ask: DumpAsk, file: SpoolFile, signal: AbortSignal): LiveUpload {
    const options = { signal, sizeHint: ask.sizeHint, resumable: resumableBy(context) };
    const key = archiveKey(context.operation.instanceId, ask.backupName);
    const ended = ask.storage.put(key, file.follow(), options).then(
      () => undefined,
      (error: unknown) =>
        error instanceof BrokerError
          ? error
          : new BrokerError('storage_failed', 'the upload broke off', { cause: error }),
    );
    return { ended };
  }

  #manifest({ operation }: OperationContext, ask: DumpAsk, measured: Measured, facts: DumpFacts): Manifest {
    return {
      version: 1,
      instance_id: operation.instanceId,
      backup_name: ask.backupName,
      origin: 'backup',
      created_at: facts.snapshot_at,
      archive: {
        file: archiveKey(operation.instanceId, ask.backupName).replace(/^.*\//, ''),
        ...measured,
        compression: facts.compression,
        server_version: facts.server_version,
        dump_version: facts.dump_version,
      },
      dump: facts,
      requested_by: operation.requestedBy,
      operation_id: operation.id,
      node: this.identity.node,
    };
  }
}

function tooLong(): BrokerError {
  return new BrokerError('timed_out', 'the operation took too long');
}

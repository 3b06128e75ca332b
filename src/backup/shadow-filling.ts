import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { Archives, type InspectedArchive } from '../postgres/archives.js';
import { type Filled, Restores } from '../postgres/restores.js';
import { type RestoreNames } from '../postgres/shadow.js';
import { TenantDatabases } from '../postgres/tenant-databases.js';
import { allowedExtensions, archiveLimit } from './archive-limits.js';
import { namesOf } from './backup-preflight.js';
import { type FetchedArchive } from './restore-archive.js';
import { ServerRoom } from './server-room.js';

/** The data, and about as much in the write-ahead log. */
const ROOM_SHARE = 2;

export interface FillAsk {
  archive: FetchedArchive;
  /** A backup of this very instance. */
  own: boolean;
  acceptErrors: boolean;
}

/** An archive becomes a database beside the living one: inspected, restored, analyzed, verified. */
@Injectable()
export class ShadowFilling {
  constructor(
    private readonly archives: Archives,
    private readonly restores: Restores,
    private readonly databases: TenantDatabases,
    private readonly room: ServerRoom,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
  ) {}

  /** Names to be written down before anything is made. */
  draw(): RestoreNames {
    return this.restores.drawNames();
  }

  /** The read-through of an archive of which nothing has been restored yet. */
  async inspect(
    { progress, signal }: OperationContext,
    instance: ServiceInstance,
    { archive: { file, manifest }, own }: FillAsk,
  ): Promise<InspectedArchive> {
    const ofBackup = own ? (manifest.dump?.extensions.map(({ name }) => name) ?? []) : [];
    const inspected = await this.archives.inspect(
      file,
      {
        own,
        allowedExtensions: [...allowedExtensions(instance), ...ofBackup],
        maxBytes: own ? undefined : archiveLimit(instance),
        onProgress: progress,
      },
      signal,
    );
    const size = manifest.dump?.database_bytes ?? inspected.uncompressedBytes;
    await this.room.require(instance, size * ROOM_SHARE, signal);
    return inspected;
  }

  /**
   * @throws BrokerError restore_failed, verification_failed, archive_rejected, server_full, server_unreachable: then
   *   `discard` removes what is there
   */
  async fill(
    context: OperationContext,
    instance: ServiceInstance,
    ask: FillAsk & { shadow: RestoreNames; inspected: InspectedArchive },
  ): Promise<Filled> {
    try {
      return await this.#fill(context, instance, ask);
    } catch (error) {
      if (!(error instanceof BrokerError && error.code === 'server_full')) throw error;
      await this.discard(instance, ask.shadow, context.signal);
      if (!(await this.room.makeRoom(instance, context.signal))) throw error;
      return this.#fill(context, instance, ask);
    }
  }

  discard(instance: ServiceInstance, shadow: RestoreNames, signal: AbortSignal): Promise<void> {
    return this.restores.discardShadow(namesOf(instance), shadow, signal);
  }

  /** The instance's own list of extensions holds for the restore point too that is put in its place. */
  async extend(instance: ServiceInstance, database: string, signal: AbortSignal): Promise<void> {
    const step = { signal, phase: () => Promise.resolve() };
    await this.databases.setExtensions(
      { ...namesOf(instance), database },
      instance.parameters.extensions ?? [],
      [],
      step,
    );
  }

  async #fill(
    context: OperationContext,
    instance: ServiceInstance,
    { archive, own, acceptErrors, shadow, inspected }: FillAsk & { shadow: RestoreNames; inspected: InspectedArchive },
  ): Promise<Filled> {
    const { list, uncompressedBytes } = inspected;
    const { dump } = archive.manifest;
    const wanted = instance.parameters.extensions ?? [];
    const filled = await this.restores.fill(
      namesOf(instance),
      shadow,
      {
        file: archive.file,
        jobs: this.config.operations.restore_jobs,
        own,
        list,
        uncompressedBytes,
        extensions: { allowed: allowedExtensions(instance), wanted },
        facts: dump === null || leavesTablesOut(inspected) ? undefined : dump,
        acceptErrors: acceptErrors && !own,
        maxDatabaseBytes: own ? undefined : instance.limits.storage_bytes,
        onProgress: context.progress,
      },
      context,
    );
    await this.databases.addExtensions({ ...namesOf(instance), database: shadow.database }, wanted, context.signal);
    return filled;
  }
}

function leavesTablesOut({ leftOut }: InspectedArchive): boolean {
  return leftOut.some((name) => /^(TABLE|MATERIALIZED VIEW|EXTENSION|FOREIGN TABLE)/.test(name));
}

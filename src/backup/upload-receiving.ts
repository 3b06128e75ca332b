import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { InstanceStore } from '../instances/instance-store.js';
import { type OperationContext } from '../operations/operation-handler.js';
import { Archives, type InspectedArchive } from '../postgres/archives.js';
import { archiveLimit, allowedExtensions } from './archive-limits.js';
import { Receptions } from './reception.js';
import { Spool } from './spool.js';
import { type Measured } from './spool-file.js';

/** What `PUT /upload_backup` asks for. */
export interface UploadInput {
  storage: string;
  name: string;
  /** The body, in the process that the call came to. */
  reception: string;
}

export interface ReceivedArchive {
  measured: Measured;
  inspected: InspectedArchive;
}

/** The body of an upload into the spool, read through as an archive while it comes. */
@Injectable()
export class UploadReceiving {
  constructor(
    private readonly instances: InstanceStore,
    private readonly receptions: Receptions,
    private readonly archives: Archives,
    private readonly spool: Spool,
  ) {}

  /** @throws BrokerError of the reception and of the check; stopping where the process that the call came to is gone */
  async receive(context: OperationContext): Promise<ReceivedArchive> {
    const { operation, signal } = context;
    const reception = this.receptions.take((operation.input as unknown as UploadInput).reception);
    if (reception === undefined)
      throw new BrokerError('stopping', 'the broker ended before the whole archive had come');
    try {
      const instance = await this.instances.get(operation.instanceId);
      const name = this.spool.draw(operation.id);
      const total = reception.arrival.announced;
      await context.phase('receiving', { bytes: 0, ...(total !== undefined && { total_bytes: total }) });
      await context.remember({ spool: name });
      const maxBytes = archiveLimit(instance);
      const check = this.archives.arriving({ maxBytes }, signal);
      const file = await this.spool.create(name).catch((error: unknown) => {
        check.sink.destroy();
        throw error;
      });
      const tell = (bytes: number) => context.progress({ bytes, ...(total !== undefined && { total_bytes: total }) });
      const measured = await reception.take(file, check.sink, tell, signal);
      await context.phase('checking');
      const uncompressedBytes = check.uncompressedBytes();
      const options = { own: false, allowedExtensions: allowedExtensions(instance), uncompressedBytes };
      return { measured, inspected: await this.archives.inspect(this.spool.path(name), options, signal) };
    } finally {
      reception.end();
    }
  }
}

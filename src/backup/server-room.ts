import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { Restores } from '../postgres/restores.js';
import { DiscardedDatabases } from './discarded-databases.js';
import { RestorePoints } from './restore-points.js';

/** Whose work needs the room. */
export interface RoomFor {
  id: string;
  server: string;
}

/** Room for restores on the servers: restore points make way for them, the oldest first, the instance's own one last. */
@Injectable()
export class ServerRoom {
  constructor(
    private readonly restores: Restores,
    private readonly points: RestorePoints,
    private readonly discarded: DiscardedDatabases,
  ) {}

  /**
   * Where it can be told that the server has less room, restore points are given up for it; none of them where all
   * together would not be enough.
   * @throws BrokerError server_full that says how much is missing
   */
  async require(instance: RoomFor, bytes: number, signal: AbortSignal): Promise<void> {
    const { server } = instance;
    for (;;) {
      const free = await this.restores.freeBytes(server, signal);
      if (free === undefined || free >= bytes) return;
      const isEnough = free + (await this.points.bytesOf(server)) >= bytes;
      if (isEnough && (await this.makeRoom(instance, signal))) continue;
      const missing = Math.ceil(bytes - free);
      throw new BrokerError(
        'server_full',
        `server ${server} has room for ${free} bytes and about ${Math.ceil(bytes)} are needed: ${missing} are missing`,
        { details: { missing_bytes: missing } },
      );
    }
  }

  /** Gives up what can be given up first; false where nothing can. */
  async makeRoom({ id, server }: RoomFor, signal: AbortSignal): Promise<boolean> {
    const given = await this.points.giveUpOldest(server, id);
    await this.discarded.drop(signal, server);
    return given;
  }
}

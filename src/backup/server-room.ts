import { Injectable } from '@nestjs/common';
import { BrokerError } from '../errors.js';
import { Restores } from '../postgres/restores.js';
import { DiscardedDatabases } from './discarded-databases.js';
import { RestorePoints } from './restore-points.js';

/** Room for restores on the servers: restore points make way for them, the oldest first. */
@Injectable()
export class ServerRoom {
  constructor(
    private readonly restores: Restores,
    private readonly points: RestorePoints,
    private readonly discarded: DiscardedDatabases,
  ) {}

  /**
   * Where it can be told that the server has less room, restore points are given up for it.
   * @throws BrokerError server_full that says how much is missing
   */
  async require(server: string, bytes: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const free = await this.restores.freeBytes(server, signal);
      if (free === undefined || free >= bytes) return;
      if (await this.makeRoom(server, signal)) continue;
      const missing = Math.ceil(bytes - free);
      throw new BrokerError(
        'server_full',
        `server ${server} has room for ${free} bytes and about ${Math.ceil(bytes)} are needed: ${missing} are missing`,
        { details: { missing_bytes: missing } },
      );
    }
  }

  /** Gives up what can be given up first; false where nothing can. */
  async makeRoom(server: string, signal: AbortSignal): Promise<boolean> {
    const given = await this.points.giveUpOldest(server);
    await this.discarded.drop(signal, server);
    return given;
  }
}

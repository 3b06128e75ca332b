import { Injectable, Logger } from '@nestjs/common';
import { Upkeep } from '../upkeep.js';
import { DiscardedDatabases } from './discarded-databases.js';
import { RestorePoints } from './restore-points.js';

const EVERY_MS = 5_000;

/** Ends restore points whose time is over, and drops databases that nothing needs any more. */
@Injectable()
export class RestoreUpkeep extends Upkeep {
  readonly #logger = new Logger('Backup');

  constructor(
    private readonly points: RestorePoints,
    private readonly discarded: DiscardedDatabases,
  ) {
    super(EVERY_MS);
  }

  /** Before an instance is removed: its roles own what is in these databases. */
  async clear(instanceId: string, signal: AbortSignal): Promise<void> {
    await this.points.giveUpOf(instanceId);
    await this.discarded.dropOf(instanceId, signal);
  }

  protected override async round(stopped: AbortSignal): Promise<void> {
    try {
      await this.points.expire();
      await this.discarded.drop(stopped);
    } catch (error) {
      this.#logger.warn(`restore points are looked after later: ${String(error)}`);
    }
  }

  protected override untilDue(stopped: AbortSignal): Promise<void> {
    return this.discarded.untilWanted(this.everyMs, stopped);
  }
}

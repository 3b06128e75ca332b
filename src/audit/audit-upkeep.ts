import { Inject, Injectable, Logger } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { Upkeep } from '../upkeep.js';
import { AuditStore } from './audit-store.js';

const EVERY_MS = 86_400_000;

/** Deletes records whose time is over: at the start, and once a day. */
@Injectable()
export class AuditUpkeep extends Upkeep {
  readonly #logger = new Logger('Audit');

  constructor(
    private readonly store: AuditStore,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
  ) {
    super(EVERY_MS);
  }

  protected override async round(): Promise<void> {
    await this.store
      .sweep(this.config.audit.keep)
      .catch((error: unknown) => this.#logger.warn(`old records are deleted later: ${String(error)}`));
  }
}

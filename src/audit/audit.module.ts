import { Module } from '@nestjs/common';
import { AuditController } from './audit.controller.js';
import { AuditStore } from './audit-store.js';
import { AuditUpkeep } from './audit-upkeep.js';

/** Who asked for which change, and what came of it. */
@Module({ controllers: [AuditController], providers: [AuditStore, AuditUpkeep] })
export class AuditModule {}

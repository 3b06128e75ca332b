import { Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { InstancesModule } from '../instances/instances.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { OperationsService } from '../operations/operations.service.js';
import { PostgresModule } from '../postgres/postgres.module.js';
import { StorageModule } from '../storage/storage.module.js';
import { ArchiveKeeping } from './archive-keeping.js';
import { ArchiveRemains } from './archive-remains.js';
import { BackupController } from './backup.controller.js';
import { Backup } from './backup.entity.js';
import { BackupHandler } from './backup.handler.js';
import { BackupJanitor } from './backup-janitor.js';
import { BackupLook } from './backup-look.js';
import { BackupPreflight } from './backup-preflight.js';
import { BackupService } from './backup.service.js';
import { BackupStore } from './backup-store.js';
import { DeleteBackupHandler } from './delete-backup.handler.js';
import { DownloadController } from './download.controller.js';
import { DownloadService } from './download.service.js';
import { DumpToSpool } from './dump-to-spool.js';
import { LeftUploads } from './left-uploads.js';
import { LostOrphans } from './lost-orphans.js';
import { LongCall } from './long-call.js';
import { ManifestReader } from './manifest-reader.js';
import { RescanHandler } from './rescan.handler.js';
import { Spool } from './spool.js';

/** Backups, and the API for them. */
@Module({
  imports: [TypeOrmModule.forFeature([Backup]), InstancesModule, OperationsModule, PostgresModule, StorageModule],
  controllers: [BackupController, DownloadController],
  providers: [
    ArchiveKeeping,
    ArchiveRemains,
    BackupHandler,
    BackupJanitor,
    BackupLook,
    BackupPreflight,
    BackupService,
    BackupStore,
    DeleteBackupHandler,
    DownloadService,
    DumpToSpool,
    LeftUploads,
    LostOrphans,
    LongCall,
    ManifestReader,
    RescanHandler,
    Spool,
  ],
  exports: [ArchiveKeeping, ArchiveRemains, BackupJanitor, BackupLook, BackupStore, LongCall, ManifestReader, Spool],
})
export class BackupModule implements OnModuleInit {
  constructor(
    private readonly operations: OperationsService,
    private readonly backup: BackupHandler,
    private readonly deleteBackup: DeleteBackupHandler,
    private readonly rescan: RescanHandler,
  ) {}

  onModuleInit(): void {
    for (const handler of [this.backup, this.deleteBackup, this.rescan]) this.operations.handle(handler);
  }
}

import { Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { InstanceRemoval } from '../instances/instance-removal.js';
import { InstancesModule } from '../instances/instances.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { OperationsService } from '../operations/operations.service.js';
import { PostgresModule } from '../postgres/postgres.module.js';
import { StorageModule } from '../storage/storage.module.js';
import { BackupModule } from './backup.module.js';
import { DiscardedDatabase } from './discarded-database.entity.js';
import { DiscardedDatabases } from './discarded-databases.js';
import { Receptions } from './reception.js';
import { RestoreArchive } from './restore-archive.js';
import { RestoreController } from './restore.controller.js';
import { RestoreHandler } from './restore.handler.js';
import { RestoreOutlookController } from './restore-outlook.controller.js';
import { RestorePoint } from './restore-point.entity.js';
import { RestorePoints } from './restore-points.js';
import { RestoreService } from './restore.service.js';
import { RestoreUpkeep } from './restore-upkeep.js';
import { ServerRoom } from './server-room.js';
import { ShadowFilling } from './shadow-filling.js';
import { Swapping } from './swapping.js';
import { UndoRestoreHandler } from './undo-restore.handler.js';
import { UploadChecks } from './upload-checks.js';
import { UploadController } from './upload.controller.js';
import { UploadHandler } from './upload.handler.js';
import { UploadReceiving } from './upload-receiving.js';
import { UploadService } from './upload.service.js';

/** Restores, undos, restore points and uploads, and the API for them. */
@Module({
  imports: [
    TypeOrmModule.forFeature([RestorePoint, DiscardedDatabase]),
    BackupModule,
    InstancesModule,
    OperationsModule,
    PostgresModule,
    StorageModule,
  ],
  controllers: [RestoreController, RestoreOutlookController, UploadController],
  providers: [
    DiscardedDatabases,
    Receptions,
    RestoreArchive,
    RestoreHandler,
    RestorePoints,
    RestoreService,
    RestoreUpkeep,
    ServerRoom,
    ShadowFilling,
    Swapping,
    UndoRestoreHandler,
    UploadChecks,
    UploadHandler,
    UploadReceiving,
    UploadService,
  ],
  exports: [RestoreUpkeep],
})
export class RestoreModule implements OnModuleInit {
  constructor(
    private readonly operations: OperationsService,
    private readonly restore: RestoreHandler,
    private readonly undo: UndoRestoreHandler,
    private readonly upload: UploadHandler,
    private readonly removal: InstanceRemoval,
    private readonly upkeep: RestoreUpkeep,
  ) {}

  onModuleInit(): void {
    for (const handler of [this.restore, this.undo, this.upload]) this.operations.handle(handler);
    this.removal.before((instance, signal) => this.upkeep.clear(instance.id, signal));
  }
}

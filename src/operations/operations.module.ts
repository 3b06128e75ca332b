import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { LeftOperations } from './left-operations.js';
import { OperationExecutor } from './operation-executor.js';
import { OperationIntake } from './operation-intake.js';
import { OperationQueue } from './operation-queue.js';
import { OperationRunner } from './operation-runner.js';
import { OperationStore } from './operation-store.js';
import { OperationWaiters } from './operation-waiters.js';
import { Operation } from './operation.entity.js';
import { OperationsController } from './operations.controller.js';
import { OperationsService } from './operations.service.js';

@Module({
  imports: [TypeOrmModule.forFeature([Operation])],
  controllers: [OperationsController],
  providers: [
    OperationsService,
    LeftOperations,
    OperationStore,
    OperationQueue,
    OperationExecutor,
    OperationIntake,
    OperationRunner,
    OperationWaiters,
  ],
  exports: [OperationsService, LeftOperations],
})
export class OperationsModule {}

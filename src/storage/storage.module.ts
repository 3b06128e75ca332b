import { Module } from '@nestjs/common';
import { StorageRegistry } from './storage-registry.js';
import { StoragesController } from './storages.controller.js';

/** Where archives and manifests are kept. */
@Module({ controllers: [StoragesController], providers: [StorageRegistry], exports: [StorageRegistry] })
export class StorageModule {}

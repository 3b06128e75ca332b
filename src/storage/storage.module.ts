import { Module } from '@nestjs/common';
import { StorageRegistry } from './storage-registry.js';

/** Where archives and manifests are kept. */
@Module({ providers: [StorageRegistry], exports: [StorageRegistry] })
export class StorageModule {}

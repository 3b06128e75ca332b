import { Module } from '@nestjs/common';
import { PostgresServers } from './postgres-servers.js';
import { TenantDatabases } from './tenant-databases.js';

@Module({ providers: [PostgresServers, TenantDatabases], exports: [PostgresServers, TenantDatabases] })
export class PostgresModule {}

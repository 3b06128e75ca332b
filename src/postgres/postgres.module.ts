import { Module } from '@nestjs/common';
import { Archives } from './archives.js';
import { Dumps } from './dumps.js';
import { PostgresServers } from './postgres-servers.js';
import { Restores } from './restores.js';
import { TenantDatabases } from './tenant-databases.js';
import { PostgresTools } from './tools.js';

@Module({
  providers: [PostgresServers, TenantDatabases, PostgresTools, Dumps, Archives, Restores],
  exports: [PostgresServers, TenantDatabases, Dumps, Archives, Restores],
})
export class PostgresModule {}

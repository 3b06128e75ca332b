import { type DynamicModule, Module } from '@nestjs/common';
import { AuditModule } from './audit/audit.module.js';
import { RestoreModule } from './backup/restore.module.js';
import { BrokerModule } from './broker/broker.module.js';
import { BrokerConfigModule } from './config/config.module.js';
import { type BrokerIdentity } from './config/identity.js';
import { type BrokerConfig } from './config/schema.js';
import { HealthModule } from './health/health.module.js';
import { HttpModule } from './http/http.module.js';
import { OperationsModule } from './operations/operations.module.js';
import { StateModule } from './state/state.module.js';
import { StorageModule } from './storage/storage.module.js';

@Module({
  imports: [
    HttpModule,
    StateModule,
    AuditModule,
    OperationsModule,
    StorageModule,
    BrokerModule,
    RestoreModule,
    HealthModule,
  ],
})
export class AppModule {
  static for(config: BrokerConfig, identity: BrokerIdentity): DynamicModule {
    return { module: AppModule, imports: [BrokerConfigModule.for(config, identity)] };
  }
}

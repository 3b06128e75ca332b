import { Global, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { type DataSourceOptions } from 'typeorm';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { dataSourceOptions, StateDataSource } from './state-data-source.js';
import { StateDatabase } from './state-database.js';

/** The state database: `DataSource` and repositories for the features, `StateDatabase` for who starts and stops it. */
@Global()
@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      inject: [BROKER_CONFIG, BROKER_IDENTITY],
      useFactory: (config: BrokerConfig, identity: BrokerIdentity) => ({
        ...dataSourceOptions(config.state, identity),
        autoLoadEntities: true,
        manualInitialization: true,
      }),
      dataSourceFactory: (options) => Promise.resolve(new StateDataSource(options as DataSourceOptions)),
    }),
  ],
  providers: [StateDatabase],
  exports: [StateDatabase],
})
export class StateModule {}

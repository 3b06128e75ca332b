import { type DynamicModule, Global, Module } from '@nestjs/common';
import { type BrokerConfig } from './schema.js';

/** Token of the validated, frozen configuration. */
export const BROKER_CONFIG = Symbol('BrokerConfig');

@Global()
@Module({})
export class BrokerConfigModule {
  static for(config: BrokerConfig): DynamicModule {
    const provider = { provide: BROKER_CONFIG, useValue: config };
    return { module: BrokerConfigModule, providers: [provider], exports: [provider] };
  }
}

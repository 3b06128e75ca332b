import { type DynamicModule, Global, Module } from '@nestjs/common';
import { ConfigModule, registerAs } from '@nestjs/config';
import { type BrokerIdentity } from './identity.js';
import { type BrokerConfig } from './schema.js';

/** Token of the validated, frozen configuration. */
export const BROKER_CONFIG = Symbol('BrokerConfig');

/** Token of the broker's identity. */
export const BROKER_IDENTITY = Symbol('BrokerIdentity');

/** Hands out what `loadConfig` has read. Neither environment files nor `process.env` are looked at here. */
@Global()
@Module({})
export class BrokerConfigModule {
  static for(config: BrokerConfig, identity: BrokerIdentity): DynamicModule {
    const loaded = registerAs('broker', () => config);
    const providers = [
      { provide: BROKER_CONFIG, useFactory: (value: BrokerConfig) => value, inject: [loaded.KEY] },
      { provide: BROKER_IDENTITY, useValue: identity },
    ];
    return {
      module: BrokerConfigModule,
      imports: [
        ConfigModule.forRoot({ ignoreEnvFile: true, ignoreEnvVars: true, skipProcessEnv: true, load: [loaded] }),
      ],
      providers,
      exports: providers.map(({ provide }) => provide),
    };
  }
}

import { DataSource, type DataSourceOptions, type QueryRunner, type ReplicationMode } from 'typeorm';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { MIGRATIONS } from './migrations/migrations.js';
import { SnakeCaseNames } from './naming.js';
import { stateAddress } from './state-tls.js';
import { translated } from './state-errors.js';
import { WatchedClient } from './watched-client.js';

/**
 * The data source of the state database. A database that is down or hangs fails every query within 10 s as
 * `server_unreachable`; all else (a violated constraint, say) comes as TypeORM's own error.
 */
export class StateDataSource extends DataSource {
  override createQueryRunner(mode?: ReplicationMode): QueryRunner {
    const runner = super.createQueryRunner(mode);
    const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<never>;
    runner.query = async (...args: unknown[]) => {
      try {
        return await query(...args);
      } catch (error) {
        throw translated(error);
      }
    };
    return runner;
  }
}

/**
 * Goes before every setting of role or database: the broker's tables are in `public`, and a role that works on a server
 * of instances too has a search path without it. `options` of the URL go before this.
 */
const SESSION = { keepAlive: true, options: '-c search_path=public' };

/** Options of the data source; entities come from the feature modules. */
export function dataSourceOptions(config: BrokerConfig['state'], identity: BrokerIdentity): DataSourceOptions {
  return {
    type: 'postgres',
    ...stateAddress(config),
    applicationName: `broker/${identity.runner}`,
    namingStrategy: new SnakeCaseNames(),
    migrations: MIGRATIONS,
    migrationsTableName: 'migration',
    synchronize: false,
    installExtensions: false,
    logging: false,
    poolSize: 10,
    connectTimeoutMS: 4_000,
    poolErrorHandler: () => undefined,
    extra: {
      ...SESSION,
      Client: WatchedClient,
      idleTimeoutMillis: 60_000,
      statement_timeout: 4_000,
      // A broker that was paused in the middle of a transaction must not hold its locks against the others.
      idle_in_transaction_session_timeout: 8_000,
    },
  };
}

/** As the data source, but for one session whose statements may take as long as they need: the migrations. */
export function migrationOptions(options: DataSourceOptions): DataSourceOptions {
  return { ...options, entities: [], poolSize: 1, extra: SESSION } as DataSourceOptions;
}

import { type Server } from 'node:https';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type DestinationStream, type Logger } from 'pino';
import { AppModule } from './app.module.js';
import { installAudit } from './audit/audit-hooks.js';
import { AuditStore } from './audit/audit-store.js';
import { AuditUpkeep } from './audit/audit-upkeep.js';
import { BackupJanitor } from './backup/backup-janitor.js';
import { RestoreUpkeep } from './backup/restore-upkeep.js';
import { ConfigurationCheck } from './broker/configuration-check.js';
import { BrokerJanitor } from './broker/janitor.js';
import { unusedKeys } from './config/cloud-controller.js';
import { type BrokerIdentity } from './config/identity.js';
import { type BrokerConfig } from './config/schema.js';
import { createHttpApp } from './http/http-app.js';
import { Lifecycle } from './http/lifecycle.js';
import { createLog } from './http/log.js';
import { reloadTls } from './http/tls.js';
import { OperationsService } from './operations/operations.service.js';
import { PostgresServers } from './postgres/postgres-servers.js';
import { StateDatabase } from './state/state-database.js';

/** For the answers of those that were told that their operation is handed over. */
const ANSWER_MS = 2_000;

export interface BrokerApp {
  app: NestFastifyApplication;
  /** Listens and resolves with the URL; API calls are answered 503 `starting` until `ready`. */
  listen(): Promise<string>;
  /**
   * Resolves when the state database is connected and migrated, and operations and broker have started. Rejects when
   * that cannot be, or when the broker is closed before.
   */
  ready: Promise<void>;
  /** Takes a renewed certificate into use; one that cannot be used is logged, and the former one stays. */
  reloadTls(): void;
  /** Ends cleanly: no new work, running requests drain, operations are handed over, pools are closed. */
  close(): Promise<void>;
}

export interface CreateAppOptions {
  /** Where the log goes; standard output by default. */
  logTo?: DestinationStream;
}

/** Builds the broker; it starts as soon as it listens. */
export async function createApp(
  config: BrokerConfig,
  identity: BrokerIdentity,
  options: CreateAppOptions = {},
): Promise<BrokerApp> {
  const log = await createLog(config.log, options.logTo);
  const unused = unusedKeys(config);
  if (unused.length > 0) log.warn(`configured, but not in use yet: ${unused.join(', ')}`);
  const app = await createHttpApp(AppModule.for(config, identity), config.http, log);
  installAudit(app.getHttpAdapter().getInstance(), app.get(AuditStore, { strict: false }), log);
  return new RunningBroker(app, config, log);
}

class RunningBroker implements BrokerApp {
  readonly ready: Promise<void>;
  #begin: () => void = () => undefined;
  #closed: Promise<void> | undefined;
  readonly #lifecycle: Lifecycle;
  readonly #state: StateDatabase;
  readonly #operations: OperationsService;
  readonly #servers: PostgresServers;
  readonly #janitor: BrokerJanitor;
  readonly #backups: BackupJanitor;
  readonly #restores: RestoreUpkeep;
  readonly #audit: AuditUpkeep;

  constructor(
    readonly app: NestFastifyApplication,
    private readonly config: BrokerConfig,
    private readonly log: Logger,
  ) {
    this.#lifecycle = app.get(Lifecycle);
    this.#state = app.get(StateDatabase, { strict: false });
    this.#operations = app.get(OperationsService, { strict: false });
    this.#servers = app.get(PostgresServers, { strict: false });
    this.#janitor = app.get(BrokerJanitor, { strict: false });
    this.#backups = app.get(BackupJanitor, { strict: false });
    this.#restores = app.get(RestoreUpkeep, { strict: false });
    this.#audit = app.get(AuditUpkeep, { strict: false });
    const begun = new Promise<void>((resolve) => (this.#begin = resolve));
    this.ready = begun.then(() => this.#start());
    this.ready.catch(() => undefined);
  }

  async listen(): Promise<string> {
    const { host, port } = this.config.http;
    await this.app.listen(port, host);
    const url = await this.app.getUrl();
    this.log.info(`listening on ${url}`);
    this.#begin();
    return url;
  }

  reloadTls(): void {
    const { tls } = this.config.http;
    if (tls === undefined) return;
    const fault = reloadTls(this.app.getHttpServer() as unknown as Server, tls);
    if (fault === undefined) this.log.info('the certificate was read anew');
    else this.log.error(`the new certificate cannot be used, the former one stays: ${fault}`);
  }

  close(): Promise<void> {
    this.#closed ??= this.#stop();
    return this.#closed;
  }

  async #start(): Promise<void> {
    const { stopping } = this.#lifecycle;
    await this.#state.connect(stopping);
    await this.#servers.endFormerSessions();
    // What is wrong with a server stands in the log from the start.
    void this.#servers.health();
    await this.app.get(ConfigurationCheck, { strict: false }).report();
    await this.#backups.prepare(stopping);
    await this.#operations.start(stopping);
    stopping.throwIfAborted();
    this.#janitor.start();
    this.#restores.start();
    this.#backups.start();
    this.#audit.start();
    this.#lifecycle.markReady();
    this.log.info('ready');
  }

  async #stop(): Promise<void> {
    this.log.info('stopping');
    this.#lifecycle.markStopping();
    this.#begin();
    await this.ready.catch(() => undefined);
    // One grace for all: calls that wait for an operation are answered when it is handed over.
    await Promise.all([
      this.#lifecycle.drained(this.config.operations.grace),
      this.#operations.stop(),
      ...[this.#janitor, this.#backups, this.#restores, this.#audit].map((each) => each.stop()),
    ]);
    if (!(await this.#lifecycle.drained(ANSWER_MS)))
      this.log.warn('some requests were still running after the grace period');
    await this.app.close();
    await this.#servers.close();
    await this.#state.close();
    this.log.info('stopped');
  }
}

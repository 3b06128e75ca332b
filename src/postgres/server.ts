import { Logger } from '@nestjs/common';
import { type ServerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { connectionTarget, type ServerEndpoint, serverEndpoint } from './connection-target.js';
import { Connector } from './connector.js';
import { Gate } from './gate.js';
import { answers } from './liveness.js';
import { OLDEST_VERSION, readFacts, type ServerFacts } from './server-facts.js';
import { ServerSessions } from './server-sessions.js';
import { ident } from './sql.js';

export interface ServerHealth {
  name: string;
  reachable: boolean;
  accepts_new: boolean;
  version?: string;
  /** Why it is not reachable, or takes no new instances though it is to. */
  error?: string;
  /** What an operator should put right; tenants are served all the same. */
  warnings?: string[];
}

const FACTS_HOLD_MS = 60_000;
const HEALTH_HOLDS_MS = 2000;
const PROBE_MS = 4000;
/** PostgreSQL's rate stops growing there (measured on two cores). */
const PARALLEL_CREATES = 4;

/** One configured server. */
export class Server {
  readonly name: string;
  readonly endpoint: ServerEndpoint;
  readonly sessions: ServerSessions;
  /** Bounds CREATE DATABASE. */
  readonly creating = new Gate(PARALLEL_CREATES);
  /** Present where the operator gave a superuser's login; for what nobody else can do, and only for that. */
  readonly superuser?: Connector;
  readonly #logger = new Logger('Postgres');
  readonly #connector: Connector;
  #facts?: { value: ServerFacts; at: number };
  #health?: { value: ServerHealth; at: number };
  #probe: Promise<ServerHealth> | undefined;

  constructor(
    readonly config: ServerConfig,
    applicationName: string,
  ) {
    this.name = config.name;
    this.endpoint = serverEndpoint(config);
    this.#connector = new Connector(connectionTarget(config), applicationName);
    this.sessions = new ServerSessions(config.name, this.#connector, config.max_connections);
    if (config.superuser_url !== undefined)
      this.superuser = new Connector(connectionTarget(config, config.superuser_url), applicationName);
  }

  /** The broker's own login. */
  get user(): string {
    return this.#connector.target.user;
  }

  /** Read at the first need and again every minute. Rejects with server_unreachable for a server that is too old. */
  async facts(signal: AbortSignal): Promise<ServerFacts> {
    if (this.#facts === undefined || Date.now() - this.#facts.at > FACTS_HOLD_MS) {
      const value = await this.#readFacts(signal);
      this.#tellNew(value);
      this.#facts = { value, at: Date.now() };
    }
    const { value } = this.#facts;
    if (value.versionNumber < OLDEST_VERSION)
      throw new BrokerError('server_unreachable', `server ${this.name} is older than PostgreSQL 15`);
    return value;
  }

  /** What was seen within the last seconds. A server that was down is not waited for: that stands until it is seen. */
  health(): Promise<ServerHealth> {
    const known = this.#health?.value;
    const seen = this.look();
    return known?.reachable === false ? Promise.resolve(known) : seen;
  }

  /** As `health`, but waits. Bounded to about 6 s; a look of the last seconds serves, and several at once are one. */
  look(): Promise<ServerHealth> {
    const known = this.#health;
    if (known !== undefined && Date.now() - known.at < HEALTH_HOLDS_MS) return Promise.resolve(known.value);
    this.#probe ??= this.#look().then((value) => {
      this.#health = { value, at: Date.now() };
      this.#probe = undefined;
      return value;
    });
    return this.#probe;
  }

  async #look(): Promise<ServerHealth> {
    const signal = AbortSignal.timeout(PROBE_MS);
    try {
      const facts = await this.#alive(signal);
      const accepts_new = this.config.accepts_new && facts.fault === undefined;
      return {
        ...{ name: this.name, reachable: true, accepts_new, version: facts.version },
        ...(facts.fault !== undefined && { error: `server ${this.name}: ${facts.fault}` }),
        ...(facts.warnings.length > 0 && { warnings: facts.warnings }),
      };
    } catch (error) {
      const message = error instanceof BrokerError ? error.message : `server ${this.name} did not answer in time`;
      return { name: this.name, reachable: false, accepts_new: this.config.accepts_new, error: message };
    }
  }

  /** Where every session is busy, asking for one would only measure the queue. */
  async #alive(signal: AbortSignal): Promise<ServerFacts> {
    // A fault is looked at again, so that it counts no longer than it is there.
    if (this.#facts?.value.fault !== undefined) this.#facts.at = 0;
    else if (this.#facts !== undefined) {
      if (Date.now() - this.sessions.answeredAt < HEALTH_HOLDS_MS) return this.#facts.value;
      if (!this.sessions.available && (await answers(this.#connector.target))) return this.#facts.value;
      await this.sessions.query('SELECT', { signal });
    }
    return this.facts(signal);
  }

  async #readFacts(signal: AbortSignal): Promise<ServerFacts> {
    const read = () => this.sessions.maintenance(signal, (session) => readFacts(session, signal));
    const facts = await read();
    const grants = facts.versionNumber >= OLDEST_VERSION && !facts.limitsTempFiles;
    if (this.superuser === undefined || !grants) return facts;
    await this.#asSuperuser(`GRANT SET ON PARAMETER temp_file_limit TO ${ident(this.user)}`, signal);
    return read();
  }

  async #asSuperuser(text: string, signal: AbortSignal): Promise<void> {
    const { superuser } = this;
    if (superuser === undefined) return;
    try {
      await this.sessions.inDatabase(superuser.target.database, signal, (session) => session.query(text), superuser);
    } catch (error) {
      this.#logger.warn(`the superuser's login of server ${this.name} is of no use: ${String(error)}`);
    }
  }

  #tellNew({ fault, warnings }: ServerFacts): void {
    const known = this.#facts?.value;
    if (fault !== undefined && fault !== known?.fault)
      this.#logger.error(`server ${this.name} takes no new instances: ${fault}`);
    for (const warning of warnings.filter((each) => known?.warnings.includes(each) !== true))
      this.#logger.warn(`server ${this.name}: ${warning}`);
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type ServerEndpoint } from './connection-target.js';
import { Server, type ServerHealth } from './server.js';
import { type Session } from './session.js';
import { literal } from './sql.js';

const END_SESSIONS_MS = 8000;

/** The configured PostgreSQL servers: which there are, how they are, where a new instance goes. */
@Injectable()
export class PostgresServers {
  readonly #servers: ReadonlyMap<string, Server>;
  readonly #logger = new Logger('Postgres');

  constructor(
    @Inject(BROKER_CONFIG) config: BrokerConfig,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {
    this.#servers = new Map(
      config.servers.map((server) => [server.name, new Server(server, `broker/${identity.runner}`)]),
    );
  }

  get names(): string[] {
    return [...this.#servers.keys()];
  }

  /** @throws BrokerError server_unreachable for a name that the configuration no longer holds. */
  server(name: string): Server {
    const server = this.#servers.get(name);
    if (server === undefined) throw new BrokerError('server_unreachable', `server ${name} is no longer configured`);
    return server;
  }

  /** @throws BrokerError server_unreachable for a name that the configuration no longer holds. */
  assertConfigured(name: string): void {
    this.server(name);
  }

  health(): Promise<ServerHealth[]> {
    return Promise.all([...this.#servers.values()].map((server) => server.health()));
  }

  /**
   * The server for a new instance: the least instances for its weight, of those that accept new ones and are
   * reachable, and where the broker's role has the rights; between equals the greater weight decides, then the
   * configuration's order.
   * @throws BrokerError server_full where none accepts new instances, server_unreachable where none of these will do.
   */
  async place(instancesOf: ReadonlyMap<string, number>): Promise<string> {
    const load = ({ name, config }: Server) => (instancesOf.get(name) ?? 0) / config.weight;
    const open = [...this.#servers.values()].filter(({ config }) => config.accepts_new);
    if (open.length === 0) throw new BrokerError('server_full', 'no server accepts new instances');
    open.sort((a, b) => load(a) - load(b) || b.config.weight - a.config.weight);
    const takes = ({ reachable, accepts_new }: ServerHealth) => reachable && accepts_new;
    for (const server of open) if (takes(await server.health())) return server.name;
    const seen = await Promise.all(open.map((server) => server.look()));
    const back = seen.find(takes);
    if (back !== undefined) return back.name;
    const faulty = seen.filter(({ reachable }) => reachable).map(({ error }) => error);
    if (faulty.length > 0) throw new BrokerError('server_unreachable', faulty.join('; '), { retryAfter: 60 });
    throw new BrokerError('server_unreachable', 'no server that accepts new instances can be reached', {
      retryAfter: 5,
    });
  }

  /** What the credentials of bindings say. Never connects. */
  endpoint(name: string): ServerEndpoint {
    return this.server(name).endpoint;
  }

  /**
   * Ends the sessions that a dead broker has left on a server, and waits until they are gone: what they ran is then
   * over. `runner` is that broker's `node/process`, or `former`: any other process of this node.
   */
  async endSessionsOf(name: string, runner: string): Promise<void> {
    const server = this.server(name);
    const signal = AbortSignal.timeout(END_SESSIONS_MS);
    const where =
      runner === 'former'
        ? `starts_with(application_name, ${literal(`broker/${this.identity.node}/`)})
           AND application_name <> ${literal(`broker/${this.identity.runner}`)}`
        : `application_name = ${literal(`broker/${runner}`)}`;
    const end = (session: Session) => this.#endSessions(session, where, signal);
    try {
      await server.sessions.maintenance(signal, end);
      const { superuser } = server;
      if (superuser !== undefined) await server.sessions.inDatabase(superuser.target.database, signal, end, superuser);
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new BrokerError('server_unreachable', `sessions of a former broker do not end on server ${name}`);
    }
  }

  /** On every server that answers; for the start. What fails is logged only. */
  async endFormerSessions(): Promise<void> {
    await Promise.all(
      this.names.map((name) =>
        this.endSessionsOf(name, 'former').catch((error: unknown) =>
          this.#logger.warn(`sessions of a former process are left on server ${name}: ${String(error)}`),
        ),
      ),
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers.values()].map(({ sessions }) => sessions.close()));
  }

  async #endSessions(session: Session, where: string, signal: AbortSignal): Promise<void> {
    // A superuser is a member of every role: only a superuser may end its sessions.
    const text = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE (usename = current_user OR pg_has_role(usesysid, current_user, 'MEMBER')
          AND NOT (SELECT rolsuper FROM pg_roles WHERE pg_roles.oid = usesysid))
        AND pid <> pg_backend_pid() AND ${where}`;
    while ((await session.query(text, { signal })).length > 0) await delay(10, undefined, { signal });
  }
}

import { Readable } from 'node:stream';
import { Inject, Injectable } from '@nestjs/common';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { BrokerError } from '../errors.js';
import { dropRole } from './role-removal.js';
import { enter } from './enter.js';
import { type Compression, type DumpFacts } from './dump-facts.js';
import { adoption, type CatalogFacts, catalogFacts, DumpSnapshot } from './dump-snapshot.js';
import {
  drawEphemeralRole,
  type EphemeralLogin,
  letPastRowSecurity,
  makeEphemeralRole,
  openAs,
} from './ephemeral-role.js';
import { PostgresServers } from './postgres-servers.js';
import { rowsInArchive } from './archive-rows.js';
import { type CountsBeside, totalOf } from './row-counts.js';
import { type Server } from './server.js';
import { together } from './sql.js';
import { type TenantNames } from './tenant.js';
import { reasonOf, startTool, type ToolEnd, type ToolProcess } from './tool-process.js';
import { PostgresTools } from './tools.js';
import { followDump, type TransferProgress } from './transfer-progress.js';

/** A table locked by the tenant's own statement for longer than this fails the dump. */
const LOCK_WAIT = '60s';
/** zstd is known to client and server from this version on. */
const ZSTD_SINCE = 16;
const CHUNK_BYTES = 1024 * 1024;

export interface DumpOptions {
  /** From `drawEphemeralRole`, written down by the caller before. */
  role: string;
  /** Default: zstd where client and server know it, else gzip. */
  compression?: Compression | undefined;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Of a preflight just before; absent: read anew. */
  catalog?: CatalogFacts | undefined;
}

/** What is known of a database before it is dumped. */
export interface DumpPreflight {
  databaseBytes: number;
  serverVersion: string;
  dumpVersion: string;
  compression: Compression;
  catalog: CatalogFacts;
}

export interface RunningDump {
  /**
   * The archive in custom format. It ends only when pg_dump has ended well, and else fails: with dump_failed, with
   * server_unreachable where the server was lost, with the signal's reason.
   */
  archive: Readable;
  /**
   * Resolves after the archive has been read to its end. `file` then holds all of it: rows that could not be counted
   * beside the dump are counted there.
   */
  facts: (file: string) => Promise<DumpFacts>;
}

/** Dumps of tenants' databases. */
@Injectable()
export class Dumps {
  constructor(
    private readonly servers: PostgresServers,
    private readonly tools: PostgresTools,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  drawEphemeralRole(): string {
    return drawEphemeralRole();
  }

  /**
   * What is known before any work.
   * @throws BrokerError dump_failed where there is no pg_dump, or where it is older than the server.
   */
  async preflight(names: TenantNames, signal: AbortSignal): Promise<DumpPreflight> {
    const server = this.servers.server(names.server);
    const [versions, catalog] = await Promise.all([
      this.#versions(server, signal),
      catalogFacts(server, names, signal),
    ]);
    return {
      databaseBytes: catalog.bytes,
      serverVersion: versions.server,
      dumpVersion: versions.dump,
      compression: versions.compression,
      catalog,
    };
  }

  /**
   * Starts a dump of one exported snapshot; rows are counted beside it in the same snapshot. The caller drops the role
   * afterwards, however it ended, with `dropEphemeralRole`. When the archive is destroyed, or the signal aborted,
   * pg_dump and its session on the server end.
   * @throws BrokerError dump_failed for a table with FORCE ROW LEVEL SECURITY where the broker has no superuser's login.
   */
  async dump(names: TenantNames, options: DumpOptions, signal: AbortSignal): Promise<RunningDump> {
    const server = this.servers.server(names.server);
    const [versions, catalog] = await Promise.all([
      this.#versions(server, signal),
      options.catalog ?? catalogFacts(server, names, signal),
    ]);
    const { role } = options;
    const group = { role, group: names.connectRole, owner: names.ownerRole };
    const [login] = await Promise.all([
      makeEphemeralRole(server, group, signal),
      this.#adopt(server, names, catalog.strayOwners, signal),
    ]);
    const stopped = new AbortController();
    const ended = AbortSignal.any([signal, stopped.signal]);
    const session = await openAs(server, login, this.#applicationName, names.database, ended);
    try {
      const snapshot = await DumpSnapshot.take(server, session, ended);
      const asItself = snapshot.forced.length > 0;
      if (asItself) await this.#letPast(server, names, role, snapshot, ended);
      const compression = options.compression ?? versions.compression;
      const environment = await this.tools.environment(login.target, names.database, asItself ? { role: 'none' } : {});
      if (asItself) await session.query('SET ROLE NONE', { signal: ended });
      const tool = this.#start(snapshot, login, compression, environment, ended);
      await snapshot.look(ended);
      if (options.onProgress) followDump(server, role, snapshot.tables, ended, options.onProgress);
      const run = new DumpRun(tool, snapshot, ended, stopped);
      const facts = async (file: string) => {
        const { rows, uncounted } = await run.counts;
        const stored = await rowsInArchive(this.tools, file, uncounted, signal);
        return factsOf(catalog, snapshot, { ...rows, ...stored }, { ...versions, compression });
      };
      const archive = Readable.from(run.bytes(), { objectMode: false, highWaterMark: CHUNK_BYTES });
      archive.once('close', () => run.close());
      return { archive, facts };
    } catch (error) {
      stopped.abort();
      await session.close();
      throw error;
    }
  }

  /** Ends its sessions, gives what it owns to the owner. Repeatable; a missing role counts as dropped. */
  dropEphemeralRole(names: TenantNames, role: string, signal: AbortSignal): Promise<void> {
    return dropRole(this.servers.server(names.server), names, role, signal);
  }

  get #applicationName(): string {
    return `broker/${this.identity.runner}`;
  }

  async #versions(server: Server, signal: AbortSignal) {
    const [facts, tool] = await Promise.all([server.facts(signal), this.tools.version('pg_dump', 'dump_failed')]);
    const major = Math.floor(facts.versionNumber / 10_000);
    if (tool.major < major)
      throw new BrokerError(
        'dump_failed',
        `pg_dump ${tool.version} is older than server ${server.name}, which is PostgreSQL ${facts.version}`,
      );
    const compression: Compression = Math.min(tool.major, major) >= ZSTD_SINCE ? 'zstd' : 'gzip';
    return { server: facts.version, dump: tool.version, major: tool.major, compression };
  }

  async #adopt(server: Server, names: TenantNames, strays: string[], signal: AbortSignal): Promise<void> {
    if (strays.length === 0) return;
    const text = together(...adoption(names, strays));
    await enter(server, names.database, signal, (session) => session.query(text, { signal }));
  }

  async #letPast(server: Server, names: TenantNames, role: string, snapshot: DumpSnapshot, signal: AbortSignal) {
    if (await letPastRowSecurity(server, role, names.ownerRole, signal)) return;
    throw new BrokerError(
      'dump_failed',
      `FORCE ROW LEVEL SECURITY hides rows from the owner, so that a dump could not be complete: ${snapshot.forced.slice(0, 20).join(', ')}`,
    );
  }

  #start(
    snapshot: DumpSnapshot,
    login: EphemeralLogin,
    compression: Compression,
    env: Record<string, string>,
    signal: AbortSignal,
  ): ToolProcess {
    const compress =
      compression === 'none' ? '--compress=0' : compression === 'gzip' ? '--compress=1' : `--compress=${compression}:1`;
    const args = [
      '--format=custom',
      compress,
      `--snapshot=${snapshot.id}`,
      `--lock-wait-timeout=${LOCK_WAIT}`,
      '--no-password',
    ];
    return startTool(this.tools.path('pg_dump', 'dump_failed'), args, {
      env,
      signal,
      secrets: [login.target.password],
    });
  }
}

/** One pg_dump and the counting beside it: both succeed or both fail. */
class DumpRun {
  /** Resolves when pg_dump has ended well and the rows are counted. */
  readonly counts: Promise<CountsBeside>;
  #begun!: () => void;
  #failure: unknown;

  constructor(
    private readonly tool: ToolProcess,
    private readonly snapshot: DumpSnapshot,
    private readonly signal: AbortSignal,
    private readonly stopped: AbortController,
  ) {
    tool.stdin.end();
    const begun = new Promise<void>((resolve) => (this.#begun = resolve));
    this.counts = this.#count(begun);
    this.counts.catch(() => undefined);
  }

  async *bytes(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of this.tool.stdout) {
        this.#begun();
        yield chunk as Buffer;
      }
      this.#judge(await this.tool.ended);
      await this.counts;
    } catch (error) {
      this.signal.throwIfAborted();
      throw this.#failure ?? error;
    } finally {
      this.close();
      await this.tool.ended;
    }
  }

  /** Also for an archive that nobody has begun to read. */
  close(): void {
    this.stopped.abort(new Error('the archive was given up'));
    this.tool.stdout.destroy();
  }

  /** pg_dump's first byte proves that it has taken the snapshot and holds its locks. */
  async #count(begun: Promise<void>): Promise<CountsBeside> {
    try {
      await Promise.race([begun, this.tool.ended]);
      const counts = await this.snapshot.count(this.signal);
      await this.snapshot.close();
      this.#judge(await this.tool.ended);
      return counts;
    } catch (error) {
      this.#failure ??= this.signal.aborted ? this.signal.reason : error;
      this.tool.stop();
      await this.snapshot.close();
      throw this.#failure;
    }
  }

  #judge(end: ToolEnd): void {
    this.signal.throwIfAborted();
    if (!end.ok) throw dumpFault(end);
  }
}

function dumpFault(end: ToolEnd): BrokerError {
  const lost = /server closed the connection|terminating connection|connection to server|could not receive data/i;
  return lost.test(end.stderr)
    ? new BrokerError('server_unreachable', reasonOf('pg_dump', end), { retryAfter: 5 })
    : new BrokerError('dump_failed', reasonOf('pg_dump', end));
}

function factsOf(
  catalog: CatalogFacts,
  snapshot: DumpSnapshot,
  rows: Record<string, number>,
  versions: { server: string; dump: string; compression: Compression },
): DumpFacts {
  return {
    snapshot_at: snapshot.at,
    lsn: snapshot.lsn,
    rows,
    tables: snapshot.tables.length,
    row_total: totalOf(rows),
    extensions: snapshot.extensions,
    settings: catalog.settings,
    binding_roles: catalog.bindingRoles,
    named_roles: snapshot.namedRoles,
    database_bytes: catalog.bytes,
    server_version: versions.server,
    dump_version: versions.dump,
    compression: versions.compression,
    encoding: catalog.encoding,
    locale: catalog.locale,
  };
}

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { BrokerError } from '../errors.js';
import { parseList } from './archive-entries.js';
import { dropRole } from './role-removal.js';
import { type DumpFacts } from './dump-facts.js';
import { type EphemeralLogin, letPastRowSecurity, makeEphemeralRole, runAs } from './ephemeral-role.js';
import { PostgresServers } from './postgres-servers.js';
import { absentRoles, restorePolicies } from './restore-policies.js';
import { partedList, restoreRights } from './restore-rights.js';
import { runRestore } from './restore-run.js';
import { countedTables, countRows, totalOf } from './row-counts.js';
import { type Server } from './server.js';
import { freeBytesOf } from './server-room.js';
import { LONG_MS, type Session } from './session.js';
import {
  closeShadow,
  discardShadow,
  drawRestoreNames,
  drawRestorePoint,
  dropPlaceholders,
  dropRestorePoint,
  furnishShadow,
  makePlaceholders,
  makeShadow,
  openShadow,
  type RestoreNames,
  scrubOwner,
} from './shadow.js';
import { literal } from './sql.js';
import { inPhase, type Step } from './step.js';
import { reconcileSwap, swapDatabases, type SwapIntent, type Swapped } from './swap.js';
import { type TenantNames } from './tenant.js';
import { PostgresTools } from './tools.js';
import { followRestore, type TransferProgress } from './transfer-progress.js';

const SIZE_EVERY_MS = 1000;

export interface FillOptions {
  /** The archive, which `Archives.inspect` has found good. A short-lived file is written beside it. */
  file: string;
  jobs: number;
  /** A backup of the same instance: rights are kept, the first error ends it, unless it is one of rights. */
  own: boolean;
  /** From `Archives.inspect`. */
  list: string;
  uncompressedBytes: number;
  /** Of the archive's extensions those that a superuser may create, and what the instance itself lists. */
  extensions?: { allowed: readonly string[]; wanted: readonly string[] };
  /** From the manifest: what the restored rows are compared with. */
  facts?: Pick<DumpFacts, 'rows' | 'tables' | 'row_total' | 'binding_roles' | 'named_roles'> | undefined;
  /** Goes on to the swap in spite of errors of a foreign archive's statements. */
  acceptErrors?: boolean | undefined;
  /** Most bytes that the filled database may have. */
  maxDatabaseBytes?: number | undefined;
  onProgress?: ((progress: TransferProgress) => void) | undefined;
}

export interface Filled {
  rows: number;
  tables: number;
  databaseBytes: number;
  /** Errors that were accepted; rights and policies that cannot be given anymore. */
  leftOut: string[];
}

/**
 * Restores: a shadow database is filled and verified, then takes the place of the living one, which is not touched
 * until then and is kept. Statements of an archive run as an unprivileged login made for this, in the shadow alone.
 */
@Injectable()
export class Restores {
  constructor(
    private readonly servers: PostgresServers,
    private readonly tools: PostgresTools,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /** To be written down before `fill`. */
  drawNames(): RestoreNames {
    return drawRestoreNames();
  }

  /** A name for the database that an undo replaces; to be written down before `swap`. */
  drawRestorePoint(): string {
    return drawRestorePoint();
  }

  /**
   * Fills the shadow and leaves it ready for the swap. When it rejects, and after a crash, `discardShadow` removes what
   * is there; only then may it be repeated.
   * @throws BrokerError restore_failed (details `errors`), verification_failed, archive_rejected for one that grows
   *   beyond `maxDatabaseBytes`, server_full, server_unreachable.
   */
  async fill(names: TenantNames, shadow: RestoreNames, options: FillOptions, step: Step): Promise<Filled> {
    const server = this.servers.server(names.server);
    const { signal } = step;
    const login = await inPhase(step, 'restoring', () => this.#prepare(server, names, shadow, options, signal));
    const absent = options.own ? await absentRoles(server, options.facts?.named_roles ?? [], signal) : [];
    const { objects, ...apart } = partedList(options.list, absent.length > 0);
    const errors = await this.#restore(server, login, shadow, { ...options, list: objects }, signal);
    const ask = { file: options.file, absent, ...apart };
    const lost = options.own ? await this.#giveRights(server, login, shadow, ask, signal) : [];
    const rows = await inPhase(step, 'analyzing', () => this.#analyze(server, names, login, shadow, signal));
    return inPhase(step, 'verifying', async () => {
      if (options.facts && errors.length === 0) compare(options.facts, rows);
      await this.#cleanUp(server, names, shadow, signal);
      const databaseBytes = await sizeOf(server, shadow.database, signal);
      return { rows: totalOf(rows), tables: Object.keys(rows).length, databaseBytes, leftOut: [...errors, ...lost] };
    });
  }

  /**
   * The swap of a restore (`incoming` a filled shadow) or of an undo (`incoming` a restore point). `recordIntent` has
   * ended before anything is changed.
   * @throws BrokerError database_in_use, no_restore_point: nothing has changed.
   */
  swap(
    names: TenantNames,
    databases: { incoming: string; outgoing: string },
    recordIntent: (intent: SwapIntent) => Promise<void>,
    signal: AbortSignal,
  ): Promise<Swapped> {
    return swapDatabases(this.servers.server(names.server), names, databases, recordIntent, signal);
  }

  /**
   * After a crash: whether the swap has happened, all of it. The dead broker's sessions must have ended before
   * (`PostgresServers.endSessionsOf`).
   */
  reconcile(names: TenantNames, intent: SwapIntent, signal: AbortSignal): Promise<'swapped' | 'not_swapped'> {
    return reconcileSwap(this.servers.server(names.server), names, intent, signal);
  }

  /** What a restore has left before its swap, sessions and programs of a dead broker included. Repeatable. */
  discardShadow(names: TenantNames, shadow: RestoreNames, signal: AbortSignal): Promise<void> {
    return discardShadow(this.servers.server(names.server), names, shadow, signal);
  }

  /** A missing one counts as dropped. */
  dropRestorePoint(server: string, database: string, signal: AbortSignal): Promise<void> {
    return dropRestorePoint(this.servers.server(server), database, signal);
  }

  /** Bytes of a database; 0 for one that is not there. */
  databaseBytes(server: string, database: string, signal: AbortSignal): Promise<number> {
    return sizeOf(this.servers.server(server), database, signal);
  }

  /** Bytes that are free where the server keeps its data; undefined where that cannot be told. */
  freeBytes(server: string, signal: AbortSignal): Promise<number | undefined> {
    return freeBytesOf(this.servers.server(server), signal);
  }

  get #applicationName(): string {
    return `broker/${this.identity.runner}`;
  }

  async #prepare(
    server: Server,
    names: TenantNames,
    shadow: RestoreNames,
    { own, list, facts, extensions: { allowed, wanted } = { allowed: [], wanted: [] } }: FillOptions,
    signal: AbortSignal,
  ): Promise<EphemeralLogin> {
    await makeShadow(server, names, shadow, signal);
    const ask = { role: shadow.role, group: names.ownerRole, owner: names.ownerRole };
    const login = await makeEphemeralRole(server, ask, signal);
    await openShadow(server, names, shadow, signal);
    const listed = parseList(list).entries.filter(({ kind, tag }) => kind === 'EXTENSION' && allowed.includes(tag));
    const extensions = [...new Set([...listed.map(({ tag }) => tag), ...wanted])];
    const furniture = { extensions, readable: !own };
    await furnishShadow(server, names, shadow, furniture, signal);
    if (own && facts) {
      const roles = [...facts.binding_roles.map(({ role }) => role), ...facts.named_roles];
      await makePlaceholders(server, shadow, roles, signal);
    }
    return login;
  }

  async #restore(
    server: Server,
    login: EphemeralLogin,
    { database }: RestoreNames,
    options: FillOptions,
    signal: AbortSignal,
  ): Promise<string[]> {
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    const { onProgress, maxDatabaseBytes } = options;
    if (onProgress) followRestore(server, login.role, options.uncompressedBytes, either, onProgress);
    const watched =
      maxDatabaseBytes === undefined ? undefined : this.#watchSize(server, database, maxDatabaseBytes, ended);
    try {
      const { versionNumber } = await server.facts(either);
      const errors = await runRestore(this.tools, login, { ...options, versionNumber, database }, either);
      if (errors.length > 0 && !options.acceptErrors)
        throw new BrokerError(
          'restore_failed',
          `the archive restores with errors only (${errors.length}), the first: ${errors[0]}`,
          { details: { errors } },
        );
      return errors;
    } catch (error) {
      signal.throwIfAborted();
      throw ended.signal.aborted ? ended.signal.reason : error;
    } finally {
      ended.abort();
      await watched;
    }
  }

  #giveRights(
    server: Server,
    login: EphemeralLogin,
    { database }: RestoreNames,
    ask: { file: string; rights: string; policies: string; absent: string[] },
    signal: AbortSignal,
  ): Promise<string[]> {
    return runAs(server, login, this.#applicationName, database, signal, async (session) => [
      ...(await restorePolicies(this.tools, session, ask, signal)),
      ...(await restoreRights(this.tools, session, ask, signal)),
    ]);
  }

  /** Statements of an archive can make more data than it holds. */
  async #watchSize(server: Server, database: string, maxBytes: number, ended: AbortController): Promise<void> {
    const { signal } = ended;
    while (!signal.aborted) {
      const bytes = await sizeOf(server, database, signal).catch(() => 0);
      if (bytes > maxBytes)
        ended.abort(
          new BrokerError('archive_rejected', `restored, the archive is larger than the ${maxBytes} bytes allowed`),
        );
      await delay(SIZE_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Counting reads what ANALYZE reads: side by side they cost little more than one of them. */
  async #analyze(server: Server, names: TenantNames, login: EphemeralLogin, shadow: RestoreNames, signal: AbortSignal) {
    const as = <T>(work: (session: Session) => Promise<T>) =>
      runAs(server, login, this.#applicationName, shadow.database, signal, work);
    const [counted] = await Promise.all([
      as(async (session) => {
        const tables = await countedTables(session, signal);
        if (tables.some(({ forced }) => forced)) {
          if (!(await letPastRowSecurity(server, login.role, names.ownerRole, signal)))
            return countRows(
              session,
              tables.filter(({ forced }) => !forced),
              signal,
            );
          await session.query('SET ROLE NONE', { signal });
        }
        return countRows(session, tables, signal);
      }),
      as((session) => session.query('ANALYZE', { signal, limitMs: LONG_MS })),
    ]);
    return counted;
  }

  async #cleanUp(server: Server, names: TenantNames, shadow: RestoreNames, signal: AbortSignal): Promise<void> {
    await closeShadow(server, shadow, signal);
    await dropRole(server, names, shadow.role, signal);
    await dropPlaceholders(server, names, shadow, signal);
    await scrubOwner(server, names, [shadow.database], signal);
  }
}

function compare(facts: Pick<DumpFacts, 'rows' | 'tables' | 'row_total'>, counted: Record<string, number>): void {
  const each = Object.keys(facts.rows).length > 0 || facts.tables === 0;
  const expected = each ? facts.rows : { tables: facts.tables, rows: facts.row_total };
  const found = each ? counted : { tables: Object.keys(counted).length, rows: totalOf(counted) };
  differ(expected, found);
}

function differ(expected: Record<string, number>, found: Record<string, number>): void {
  const names = [...new Set([...Object.keys(expected), ...Object.keys(found)])];
  const wrong = names.filter((name) => expected[name] !== found[name]);
  if (wrong.length === 0) return;
  const differences = wrong.map(
    (name) => `${name}: ${expected[name] ?? 'no table'} expected, ${found[name] ?? 'no table'} found`,
  );
  throw new BrokerError('verification_failed', `restored rows differ from the manifest: ${differences[0]}`, {
    details: { differences: differences.slice(0, 100) },
  });
}

async function sizeOf(server: Server, database: string, signal: AbortSignal): Promise<number> {
  const [row] = await server.sessions.query(
    `SELECT pg_database_size(oid)::text AS bytes FROM pg_database WHERE datname = ${literal(database)}`,
    { signal },
  );
  return Number(row?.['bytes'] ?? 0);
}

import { Injectable } from '@nestjs/common';
import { createRole, type NewBinding } from './bindings.js';
import {
  changeExtensions,
  createDatabase,
  databaseSize,
  dropDatabase,
  limitDatabase,
  type NewDatabase,
} from './databases.js';
import { assertLocale } from './locales.js';
import { drawBindingRole, drawPassword, drawTenantNames } from './names.js';
import { PostgresServers } from './postgres-servers.js';
import { dropLeftRoles, dropRole } from './role-removal.js';
import { inPhase, type Step } from './step.js';
import { type BindingRole, type TenantLimits, type TenantNames } from './tenant.js';

const CHECK_MS = 8000;

/**
 * The databases and roles of the tenants. Everything here can be repeated after a crash at any statement. A server
 * that is down, cut off or silent rejects with server_unreachable within 10 s; an aborted signal with its reason.
 */
@Injectable()
export class TenantDatabases {
  constructor(private readonly servers: PostgresServers) {}

  drawNames(server: string): TenantNames {
    return drawTenantNames(server);
  }

  drawBindingRole(): string {
    return drawBindingRole();
  }

  drawPassword(): string {
    return drawPassword();
  }

  /** @throws BrokerError invalid_request naming parameters.locale. */
  assertLocale(server: string, locale: string): Promise<void> {
    return assertLocale(this.servers.server(server), locale, AbortSignal.timeout(CHECK_MS));
  }

  /** @throws BrokerError invalid_request where the server does not know the locale or an extension. */
  create(names: TenantNames, ask: NewDatabase, step: Step): Promise<void> {
    return createDatabase(this.servers.server(names.server), names, ask, step);
  }

  /** Ends the sessions in it. What is missing counts as dropped. */
  drop(names: TenantNames, bindingRoles: string[], step: Step): Promise<void> {
    return dropDatabase(this.servers.server(names.server), names, bindingRoles, step);
  }

  /** Bytes of the database; undefined where there is none. */
  size(names: TenantNames, signal: AbortSignal = AbortSignal.timeout(CHECK_MS)): Promise<number | undefined> {
    return databaseSize(this.servers.server(names.server), names, signal);
  }

  /** The limits of the living database and roles; what is connected keeps the old ones until it connects anew. */
  applyLimits(names: TenantNames, limits: TenantLimits, bindings: BindingRole[], step: Step): Promise<void> {
    const server = this.servers.server(names.server);
    return inPhase(step, 'applying_limits', () => limitDatabase(server, names, limits, bindings, step.signal));
  }

  /**
   * Creates what is missing of `wanted`, drops what of `had` is no longer wanted; all or nothing.
   * @throws BrokerError invalid_request naming who uses an extension that should go.
   */
  setExtensions(names: TenantNames, wanted: string[], had: string[], step: Step): Promise<void> {
    const server = this.servers.server(names.server);
    return inPhase(step, 'changing_extensions', () => changeExtensions(server, names, { wanted, had }, step.signal));
  }

  /** As `setExtensions`, in a database that an archive has filled: nothing is done as a superuser. */
  addExtensions(names: TenantNames, wanted: string[], signal: AbortSignal): Promise<void> {
    return changeExtensions(this.servers.server(names.server), names, { wanted, had: [], asOwnerOnly: true }, signal);
  }

  /** Of a role that is there already, password and limits are set anew. */
  createBinding(names: TenantNames, ask: NewBinding, signal: AbortSignal): Promise<void> {
    return createRole(this.servers.server(names.server), names, ask, signal);
  }

  /** Ends the role's sessions. What the role owns becomes the instance's; a missing role counts as dropped. */
  dropBinding(names: TenantNames, role: string, signal: AbortSignal): Promise<void> {
    return dropRole(this.servers.server(names.server), names, role, signal);
  }

  /** Roles that other tenants' grants kept from being dropped: tried again once. */
  dropLeftRoles(server: string, signal: AbortSignal): Promise<void> {
    return dropLeftRoles(this.servers.server(server), signal);
  }
}

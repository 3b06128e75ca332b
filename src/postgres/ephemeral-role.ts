import { setTimeout as delay } from 'node:timers/promises';
import { BrokerError } from '../errors.js';
import { connectionTarget, type ConnectionTarget } from './connection-target.js';
import { Connector } from './connector.js';
import { drawPassword, drawServerName } from './names.js';
import { scramVerifier } from './scram-verifier.js';
import { codeOf, serverFault } from './server-fault.js';
import { type Server } from './server.js';
import { type Session } from './session.js';
import { ident, literal, together } from './sql.js';

/** Longer than any operation; a password is asked for at each login only. */
const VALID_MS = 72 * 3600 * 1000;
/** Nobody guesses a password drawn from more than 128 bits, and each program of a restore logs in with it. */
const ITERATIONS = 1;
/** A role that a crash of the server takes away is made again, or is gone as it should be: its commit need not wait. */
const UNHURRIED = `SELECT set_config('synchronous_commit', 'off', true)`;
const FULL_TRIES = 10;
const FULL_PAUSE_MS = 300;

/** A login for one operation. Whatever a tenant's or an uploaded statement does, it does as this role. */
export interface EphemeralLogin {
  role: string;
  target: ConnectionTarget;
}

/** To be written down before the role is made, so that it can be found after a crash. */
export function drawEphemeralRole(): string {
  return drawServerName('e');
}

/**
 * Makes the role, or gives it a new password where a former attempt made it: an unprivileged login in `group` that
 * becomes `owner`. It is the session user that counts: a privileged one would be lent to whatever runs there.
 */
export async function makeEphemeralRole(
  server: Server,
  { role, group, owner }: { role: string; group: string; owner: string },
  signal: AbortSignal,
): Promise<EphemeralLogin> {
  const password = drawPassword();
  const until = new Date(Date.now() + VALID_MS).toISOString();
  const attributes = `LOGIN INHERIT PASSWORD ${literal(await scramVerifier(password, ITERATIONS))} VALID UNTIL ${literal(until)}`;
  const settings = together(
    `GRANT ${ident(group)} TO ${ident(role)}`,
    `ALTER ROLE ${ident(role)} SET role = ${literal(owner)}`,
  );
  try {
    await server.sessions.query(together(UNHURRIED, `CREATE ROLE ${ident(role)} ${attributes}`, settings), { signal });
  } catch (error) {
    if (!/^(42710|23505)$/.test(codeOf(error))) throw error;
    await server.sessions.query(together(UNHURRIED, `ALTER ROLE ${ident(role)} ${attributes}`, settings), { signal });
  }
  return { role, target: { ...connectionTarget(server.config), user: role, password } };
}

/**
 * A session as the ephemeral role. It is not counted among the broker's own. Where the tenant has taken every
 * connection, waits a little for a free one.
 */
export async function openAs(
  server: Server,
  login: EphemeralLogin,
  applicationName: string,
  database: string,
  signal: AbortSignal,
): Promise<Session> {
  const connector = new Connector(login.target, applicationName);
  for (let tries = 1; ; tries += 1) {
    try {
      return await connector.open(database, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (codeOf(error) !== '53300') throw serverFault(server.name, error);
      if (tries === FULL_TRIES)
        throw new BrokerError('conflict', 'every connection that the plan allows is in use: close some and try again', {
          cause: error,
          retryAfter: 5,
        });
    }
    await delay(FULL_PAUSE_MS, undefined, { signal });
  }
}

/** Work in a session as the ephemeral role. */
export async function runAs<T>(
  server: Server,
  login: EphemeralLogin,
  applicationName: string,
  database: string,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await openAs(server, login, applicationName, database, signal);
  try {
    return await work(session);
  } catch (error) {
    if (signal.aborted) throw error;
    throw serverFault(server.name, error);
  } finally {
    await session.close();
  }
}

/**
 * Tables with FORCE ROW LEVEL SECURITY hide rows from their owner too. With the superuser's login, and only for these,
 * the role is let past; it must then work as itself, since the attribute counts for the current role alone.
 */
export async function letPastRowSecurity(
  server: Server,
  role: string,
  owner: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { superuser } = server;
  if (superuser === undefined) return false;
  const text = together(`ALTER ROLE ${ident(role)} BYPASSRLS`, `GRANT ${ident(owner)} TO ${ident(role)}`);
  await server.sessions.inDatabase(
    superuser.target.database,
    signal,
    (session) => session.query(text, { signal }),
    superuser,
  );
  return true;
}

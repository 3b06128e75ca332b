import { stat, statfs } from 'node:fs/promises';
import { isIP } from 'node:net';
import { connectionTarget } from './connection-target.js';
import { type Server } from './server.js';

/** Free bytes where the server keeps its data; undefined where that cannot be told: on another machine, above all. */
export async function freeBytesOf(server: Server, signal: AbortSignal): Promise<number | undefined> {
  if (!isHere(connectionTarget(server.config).host)) return undefined;
  const folder = await dataFolder(server, signal);
  if (folder === undefined) return undefined;
  try {
    if (!(await stat(folder)).isDirectory()) return undefined;
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

function isHere(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || host.startsWith('/') || (isIP(host) === 4 && host.startsWith('127.'))
  );
}

/** Who may not see all settings does not see this one. */
async function dataFolder(server: Server, signal: AbortSignal): Promise<string | undefined> {
  const text = `SELECT setting FROM pg_settings WHERE name = 'data_directory'`;
  const { superuser } = server;
  const [row] =
    superuser === undefined
      ? await server.sessions.query(text, { signal })
      : await server.sessions.inDatabase(
          superuser.target.database,
          signal,
          (session) => session.query(text),
          superuser,
        );
  return typeof row?.['setting'] === 'string' ? row['setting'] : undefined;
}

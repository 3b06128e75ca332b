import { accessSync, constants, readdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

const PROGRAMS = ['pg_dump', 'pg_restore'];
const DEBIAN = '/usr/lib/postgresql';

/**
 * Folder of PostgreSQL's client programs: `BROKER_PG_BINDIR`, what the file says, `PG_BINDIR`, the newest of Debian's
 * folders, else the first of `PATH` that holds them. Debian's own entry in `PATH` is a script that looks for a version
 * by rules which are not about our servers.
 */
export function toolFolder(env: NodeJS.ProcessEnv, configured: unknown): string | undefined {
  const said = (configured as { postgres_bin_dir?: unknown } | undefined)?.postgres_bin_dir;
  const named = env['BROKER_PG_BINDIR'] || (typeof said === 'string' ? said : '') || env['PG_BINDIR'];
  if (named) return named;
  const onPath = (env['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/'));
  return [...debianFolders(), ...onPath].find(holdsPrograms);
}

function debianFolders(): string[] {
  try {
    const versions = readdirSync(DEBIAN).filter((name) => /^\d+$/.test(name));
    return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(DEBIAN, version, 'bin'));
  } catch {
    return [];
  }
}

function holdsPrograms(folder: string): boolean {
  try {
    for (const program of PROGRAMS) accessSync(join(folder, program), constants.X_OK);
    return dirname(realpathSync(join(folder, 'pg_dump'))) !== '/usr/share/postgresql-common';
  } catch {
    return false;
  }
}

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { obtainPostgres } from './obtain-postgres.mjs';
import { createSteps } from './steps.mjs';

if (process.argv.length <= 2) {
  console.error('expected the URI of a database, and whatever else psql takes: npm run psql -- URI');
  // EX_USAGE of BSD's sysexits.
  process.exit(64);
}
// The psql that belongs to the PostgreSQL that was found or fetched.
try {
  const postgres = await obtainPostgres(process.env, createSteps(), new AbortController().signal);
  const psql = spawn(join(postgres.bin, 'psql'), process.argv.slice(2), { stdio: 'inherit' });
  // A terminal sends Ctrl-C to psql as well: it cancels the statement there.
  process.on('SIGINT', () => {});
  psql.on('error', (error) => fail(error.message));
  psql.on('exit', (code) => process.exit(code ?? 1));
} catch (error) {
  fail(error instanceof Error ? error.message : String(error));
}

/** @param {string} message */
function fail(message) {
  console.error(message);
  process.exit(1);
}

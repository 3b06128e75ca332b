import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { configModule, EXIT_CONFIGURATION } from './configuration.mjs';
import { openDataFolder, openSettings, previewSettings } from './data-folder.mjs';
import { startEmbeddedServer } from './embedded-server.mjs';
import { endLeftBroker } from './leftovers.mjs';
import { tryLock } from './lock.mjs';
import { obtainPostgres } from './obtain-postgres.mjs';
import { prepareCheckout } from './prepare.mjs';
import { ProgramError } from './run.mjs';
import { brokerRecord, serve } from './serve.mjs';
import { createSteps } from './steps.mjs';
import { superviseServer } from './supervised-server.mjs';

const steps = createSteps();
const ARGUMENTS = ['--check-config', '--watch'];
/** EX_USAGE of BSD's sysexits. */
const EXIT_USAGE = 64;
const asked = new AbortController();

/** `npm start`: everything from a fresh checkout to a broker that is ready. @param {string[]} args @returns {Promise<number>} the exit code */
async function start(args) {
  if (args.some((argument) => !ARGUMENTS.includes(argument))) {
    process.stderr.write(`expected no argument, or of ${ARGUMENTS.join(' and ')}\n`);
    return EXIT_USAGE;
  }
  await prepareCheckout(steps, asked.signal);
  const { embeddedMode, loadConfig, ConfigurationError } = await configModule();
  try {
    const { embedded, dataDir } = embeddedMode();
    if (args.includes('--check-config')) return checkOnly(dataDir, loadConfig);
    const dataFolder = await openDataFolder(dataDir);
    const lock = tryLock(join(dataFolder, 'lock'));
    if (!('release' in lock))
      throw new Error(
        `another start (process ${lock.pid}) uses the data folder ${dataFolder}: end it, or set BROKER_DATA_DIR to another folder`,
      );
    await endLeftBroker(brokerRecord(dataFolder));
    if (embedded) await openSettings(dataFolder);
    const config = loadConfig();
    await assertPortFree(config.http);
    const running = { config, dataFolder, embedded, watch: args.includes('--watch') };
    return embedded
      ? await serveEmbedded(running)
      : await serve({ ...running, env: process.env }, new Promise(() => {}), steps, asked.signal);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return EXIT_CONFIGURATION;
  }
}

/** @param {Omit<Parameters<typeof serve>[0], 'env'>} running */
async function serveEmbedded(running) {
  const settings = await openSettings(running.dataFolder);
  const postgres = await obtainPostgres(process.env, steps, asked.signal);
  const begin = () => startEmbeddedServer(postgres, running.dataFolder, settings, steps, asked.signal);
  const server = await superviseServer(begin, steps.say);
  try {
    return await serve(
      { ...running, env: { ...process.env, PG_BINDIR: postgres.bin } },
      server.lost,
      steps,
      asked.signal,
    );
  } finally {
    await server.stop();
  }
}

/** Nothing is made: neither the data folder nor what a first start keeps in it. @param {string} dataDir @param {import('./configuration.mjs').ConfigModule['loadConfig']} loadConfig */
function checkOnly(dataDir, loadConfig) {
  loadConfig(process.env, () => previewSettings(dataDir));
  steps.say('the configuration is valid');
  return 0;
}

/** Known at once, not only when the broker has started. @param {{ host: string, port: number }} http */
async function assertPortFree({ host, port }) {
  const probe = createServer();
  try {
    probe.listen(port, host);
    await once(probe, 'listening');
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EADDRINUSE')
      throw new Error(`port ${port} of ${host} is taken: set BROKER_PORT (or http.port) to a free one`, {
        cause: error,
      });
    // What else may be wrong with it the broker says.
  } finally {
    probe.close();
  }
}

/** @param {unknown} error */
function explain(error) {
  const text = error instanceof Error ? error.message : String(error);
  return error instanceof ProgramError ? `${error.output.trim()}\n${text}` : text;
}

for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(name, () => asked.abort());
// A terminal that is closed ends what was started in it; without one the signal means: read the certificates again.
process.on('SIGHUP', () => {
  if (process.stdin.isTTY) asked.abort();
});
try {
  process.exitCode = await start(process.argv.slice(2));
} catch (error) {
  if (asked.signal.aborted) process.exitCode = 0;
  else {
    process.stderr.write(`${explain(error)}\n`);
    process.exitCode = 1;
  }
}
process.exit();

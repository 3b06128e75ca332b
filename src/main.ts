import { setFlagsFromString } from 'node:v8';
import { ConfigurationError, loadConfig } from './config/load.js';
import { holdDataFolder, loadIdentity } from './config/identity.js';
import { type BrokerConfig } from './config/schema.js';
import { type BrokerApp } from './create-app.js';
import { StartError } from './errors.js';

/** EX_USAGE and EX_CONFIG of BSD's sysexits. */
const EXIT_USAGE = 64;
const EXIT_CONFIGURATION = 78;

// The broker makes little garbage: without this V8 lets its young generation grow by 45 MB that stay resident.
setFlagsFromString('--semi-space-growth-factor=1');

await main(process.argv.slice(2));

async function main(args: string[]): Promise<void> {
  const [command] = args;
  if (command === '--print-config-docs') return printConfigDocs();
  if (args.length > 1 || (command !== undefined && command !== '--check-config')) {
    process.stderr.write('expected no argument, --check-config or --print-config-docs\n');
    process.exitCode = EXIT_USAGE;
    return;
  }
  const config = configuration();
  if (config === undefined) process.exitCode = EXIT_CONFIGURATION;
  else if (command === '--check-config') process.stdout.write('the configuration is valid\n');
  else await run(config);
}

async function printConfigDocs(): Promise<void> {
  const { configurationDocs } = await import('./config/docs.js');
  process.stdout.write(configurationDocs());
}

function configuration(): BrokerConfig | undefined {
  try {
    return loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return undefined;
  }
}

async function run(config: BrokerConfig): Promise<void> {
  const created = create(config);
  let stopping = false;
  const stop = () => {
    stopping = true;
    created
      .then((broker) => broker.close())
      .then(
        () => process.exit(0),
        (error: unknown) => fail(error),
      );
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  process.on('SIGHUP', () => void created.then((broker) => broker.reloadTls()).catch(() => undefined));
  // With the process that started it gone, nobody would end the broker.
  if (process.send) process.on('disconnect', stop);
  try {
    const broker = await created;
    const url = await broker.listen();
    await broker.ready;
    if (process.connected) process.send?.({ ready: url });
  } catch (error) {
    if (stopping) return;
    fail(error instanceof StartError ? error.message : (listenFault(error, config) ?? error));
  }
}

async function create(config: BrokerConfig): Promise<BrokerApp> {
  const { createApp } = await import('./create-app.js');
  const identity = await loadIdentity(config.data_dir);
  await holdDataFolder(config.data_dir, identity);
  return createApp(config, identity);
}

function listenFault(error: unknown, { http }: BrokerConfig): string | undefined {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE')
    return `port ${http.port} of ${http.host} is taken: set BROKER_PORT (or http.port) to a free one`;
  return code === 'EACCES'
    ? `port ${http.port} may not be used by this user: set BROKER_PORT (or http.port)`
    : undefined;
}

function fail(reason: unknown): void {
  const text = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type BrokerHome, type HomeOptions, brokerHome, merged } from './broker-home.js';
import { HttpClient, type Json } from './client.js';
import { Platform } from './platform.js';
import { keepLog } from './run-log.js';

export interface RunningBroker {
  url: string;
  home: BrokerHome;
  platform: Platform;
  admin: HttpClient;
  /** A graceful end; gives the exit code of a child. */
  stop(): Promise<number | null>;
}

export interface SpawnedBroker extends RunningBroker {
  child: ChildProcess;
  /** What it has written so far, line by line. */
  log: string[];
  /** kill -9, and waits until the process is gone. */
  kill(): Promise<void>;
  /** Resolves when the process has ended, however. */
  gone: Promise<void>;
}

export interface BrokerOptions extends HomeOptions {
  /** The broker goes on with the data folder, state database and passwords of another one. */
  home?: BrokerHome;
}

const running = new Set<{ stop(): Promise<unknown> }>();
const homes = new Set<BrokerHome>();

/** Ends what this test file has started; called by itself when the file is done. */
export async function stopBrokers(): Promise<void> {
  await Promise.all([...running].map((broker) => broker.stop()));
  await Promise.all([...homes].map((home) => rm(home.dataDir, { recursive: true, force: true })));
}

afterAll(stopBrokers);

/** A broker in this process, through `createApp`, on a port of its own. */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const home = await homeOf(options);
  const file = await configFile(home, merged({ log: { level: 'fatal', format: 'json' } }, options.config ?? {}));
  const { createApp } = await import('../../src/create-app.js');
  const { loadConfig } = await import('../../src/config/load.js');
  const { loadIdentity } = await import('../../src/config/identity.js');
  const config = loadConfig({ BROKER_CONFIG: file });
  const app = await createApp(config, await loadIdentity(config.data_dir));
  const url = await app.listen();
  await app.ready;
  let ended: Promise<void> | undefined;
  const broker = {
    ...clients(url, home),
    stop: async () => {
      running.delete(broker);
      await (ended ??= app.close());
      return 0;
    },
  };
  running.add(broker);
  return broker;
}

/**
 * A broker as a process of its own, from the build in `dist`. `preload` modules are loaded before it.
 * With `ready: false` it is given back as soon as it listens.
 */
export async function spawnBroker(options: BrokerOptions & { preload?: string[] }): Promise<SpawnedBroker> {
  const home = await homeOf(options);
  const file = await configFile(home, options.config ?? {});
  const preloads = (options.preload ?? []).flatMap((module) => ['--import', module]);
  const child = spawn(process.execPath, [...preloads, join(import.meta.dirname, '../../dist/main.js')], {
    env: { PATH: process.env['PATH'], BROKER_CONFIG: file, NODE_ENV: 'production' },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const log: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    if (stream)
      createInterface({ input: stream }).on('line', (line) => {
        log.push(line);
        keepLog(line);
      });
  const gone = once(child, 'exit').then(() => undefined);
  const url = await readyUrl(child, log);
  const stop = async () => {
    running.delete(broker);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await gone;
    return child.exitCode;
  };
  const kill = async () => {
    running.delete(broker);
    child.kill('SIGKILL');
    await gone;
  };
  const broker: SpawnedBroker = { ...clients(url, home), child, log, stop, kill, gone };
  running.add(broker);
  return broker;
}

function clients(url: string, home: BrokerHome) {
  return {
    url,
    home,
    platform: new Platform(url, home.platform, { 'x-broker-api-version': '2.17' }),
    admin: new HttpClient(url, home.admin),
  };
}

async function homeOf({ home, ...options }: BrokerOptions): Promise<BrokerHome> {
  const own = home ?? (await brokerHome(options));
  homes.add(own);
  return own;
}

let files = 0;

async function configFile(home: BrokerHome, config: Json): Promise<string> {
  const file = join(home.dataDir, `config-${process.pid}-${++files}.json`);
  await writeFile(file, JSON.stringify(merged(home.config, config)), { mode: 0o600 });
  return file;
}

function readyUrl(child: ChildProcess, log: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: { ready?: string }) => {
      if (typeof message.ready === 'string') resolve(message.ready);
    });
    child.once('exit', (code, signal) =>
      reject(new Error(`the broker ended with ${signal ?? `code ${code}`}:\n${log.slice(-30).join('\n')}`)),
    );
  });
}

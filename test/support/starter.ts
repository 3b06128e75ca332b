import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isAlive, markOf, type ProcessMark } from '../../embedded/process-mark.mjs';
import { PROJECT } from '../../embedded/project.mjs';
import { findFreePort } from '../../embedded/server.mjs';
import { keepLog, keepSecret } from './run-log.js';
import { until } from './until.js';

export interface StarterOptions {
  dataDir: string;
  /** Default: a free one. */
  port?: number;
  /** Default: `npm start`, as a person types it. */
  command?: string[];
  /** The checkout; default: this one. */
  cwd?: string;
  env?: Record<string, string>;
  /** Who sits at a terminal sees the passwords; default: nobody does. */
  terminal?: boolean;
}

/** One `npm start` and what came of it. It ends with this process. */
export interface Starter {
  readonly child: ChildProcess;
  readonly port: number;
  readonly dataDir: string;
  /** Everything written so far. */
  output(): string;
  /** Resolves when it has announced the broker; rejects when it ended before. */
  ready(): Promise<void>;
  ended: Promise<number | null>;
  /** Asks it to end as a person or a service manager does, and gives the exit code. */
  stop(signal: 'SIGTERM' | 'SIGINT'): Promise<number | null>;
}

const started = new Set<Starter>();
const folders = new Set<string>();

afterAll(async () => {
  await Promise.all([...started].map((starter) => starter.stop('SIGTERM')));
  await Promise.all([...folders].map((folder) => rm(folder, { recursive: true, force: true })));
});

/** A folder that goes with the test file. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'broker-start-'));
  folders.add(folder);
  // PostgreSQL's user passes through where the tests run as root.
  chmodSync(folder, 0o711);
  return folder;
}

export async function npmStart(options: StarterOptions): Promise<Starter> {
  const { dataDir, cwd = PROJECT, command = ['npm', 'start'], env = {}, terminal = false } = options;
  const port = options.port ?? (await findFreePort());
  const words = [...(process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'TERM'] : []), ...command];
  const child = spawn(words[0] ?? '', words.slice(1), {
    cwd,
    env: { ...process.env, NODE_OPTIONS: '', BROKER_DATA_DIR: dataDir, BROKER_PORT: String(port), ...env },
    stdio: 'pipe',
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = once(child, 'close').then(([code]) => {
    started.delete(starter);
    if (!terminal) keepLog(output);
    secretsOf(resolve(cwd, dataDir || '.data')).forEach(keepSecret);
    return code as number | null;
  });
  const starter: Starter = {
    child,
    port,
    dataDir,
    output: () => output,
    ended,
    ready: async () => {
      await until(
        `the broker of ${dataDir}`,
        () => {
          if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}:\n${output}`);
          return output.includes('Ctrl-C ends it.');
        },
        { limitMs: 100_000 },
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${output}`);
      });
    },
    stop: (signal) => {
      child.kill(signal);
      return ended;
    },
  };
  started.add(starter);
  return starter;
}

export interface Processes {
  starter: ProcessMark;
  broker: ProcessMark;
  postgres: ProcessMark;
}

/** The three processes behind a data folder, by what each has written down. */
export function processesOf(dataDir: string): Processes {
  const holder = readdirSync(join(dataDir, 'lock'))
    .filter((name) => /^\d+$/.test(name))
    .sort((a, b) => Number(b) - Number(a));
  const read = (file: string) => JSON.parse(readFileSync(join(dataDir, file), 'utf8')) as ProcessMark;
  const postgres = Number(readFileSync(join(dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
  return {
    starter: read(join('lock', holder[0] ?? '')),
    broker: read('broker-process.json'),
    postgres: markOf(postgres) ?? { pid: postgres, started: '' },
  };
}

/** Resolves when none of them runs any more. */
export async function expectGone(processes: Partial<Processes>): Promise<void> {
  for (const [name, mark] of Object.entries(processes)) await until(`the end of ${name}`, () => !isAlive(mark));
}

/** The printed commands to try. */
export function curlLines(output: string): string[] {
  return output.split('\n').flatMap((line) => /^ {2}(curl .*)$/.exec(line)?.[1] ?? []);
}

/** The passwords and the key that the starter made. */
export function secretsOf(dataDir: string): string[] {
  const made = join(dataDir, 'embedded.json');
  const settings = existsSync(made) ? readFileSync(made, 'utf8') : '';
  const passwords = [...settings.matchAll(/"(?:password|secret)": "([^"]+)"|:\/\/\w+:(\w+)@/g)].map(
    ([, a, b]) => a ?? b ?? '',
  );
  const superuser = join(dataDir, 'postgres-password');
  return [...passwords, ...(existsSync(superuser) ? [readFileSync(superuser, 'utf8').trim()] : [])];
}

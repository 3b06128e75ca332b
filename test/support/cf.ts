import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { goEnvironment, goToolchain } from '../../embedded/go-toolchain.mjs';
import { goTool } from '../../embedded/go-tools.mjs';
import { PROJECT } from '../../embedded/project.mjs';
import { run } from '../../embedded/run.mjs';
import { until } from './until.js';

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A command in a terminal of its own. */
export interface Typed {
  child: ChildProcess;
  /** All that the terminal has shown so far, with its control sequences. */
  shown(): string;
  /** Once the terminal shows it. */
  shows(pattern: RegExp): Promise<RegExpExecArray>;
  type(keys: string): void;
  ended: Promise<number | null>;
}

/** The real cf in a home of its own. */
export interface Cf {
  readonly home: string;
  run(args: string[], input?: string): Promise<Ran>;
  /** @throws unless the exit code is 0 */
  done(args: string[], input?: string): Promise<string>;
  typed(args: string[]): Typed;
}

/** The programs of these tests: the real cf, the plugin, and a terminal. */
export interface CfPrograms {
  cf: string;
  plugin: string;
  terminal: string;
  /** Everything that is made by these programs. */
  folder: string;
}

/** Built anew from the sources; what has not changed Go takes from its cache. */
export async function cfPrograms(): Promise<CfPrograms> {
  const folder = await mkdtemp(join(tmpdir(), 'broker-cf-'));
  const cf = await goTool('cf');
  const toolchain = await goToolchain();
  const build = (source: string, name: string) =>
    run(toolchain.go, ['build', '-trimpath', '-ldflags=-X main.version=0.1.0', '-o', join(folder, name), source], {
      cwd: join(PROJECT, 'cf-plugin'),
      env: goEnvironment(toolchain),
    });
  await build('.', 'pg-backup');
  await build('./cmd/in-terminal', 'in-terminal');
  return { cf, plugin: join(folder, 'pg-backup'), terminal: join(folder, 'in-terminal'), folder };
}

export function removePrograms(programs: CfPrograms | undefined): Promise<void> {
  return programs ? rm(programs.folder, { recursive: true, force: true }) : Promise.resolve();
}

/** Commands run in the home's own folder. */
export async function cfIn(programs: CfPrograms): Promise<Cf> {
  const home = await mkdtemp(join(programs.folder, 'home-'));
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    CF_HOME: home,
    LANG: 'C.UTF-8',
    TERM: 'xterm-256color',
    TZ: 'UTC',
  };
  const start = (program: string, args: string[]) => spawn(program, args, { cwd: home, env, stdio: 'pipe' });
  const cf: Cf = {
    home,
    run: async (args, input = '') => {
      const child = start(programs.cf, args);
      const [stdout, stderr] = [textOf(child, 'stdout'), textOf(child, 'stderr')];
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, stdout: stdout(), stderr: stderr() };
    },
    done: async (args, input) => {
      const { code, stdout, stderr } = await cf.run(args, input);
      if (code !== 0) throw new Error(`cf ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`);
      return stdout;
    },
    typed: (args) => {
      const child = start(programs.terminal, [programs.cf, ...args]);
      const shown = textOf(child, 'stdout');
      child.stdin.on('error', () => undefined);
      return {
        child,
        shown,
        shows: (pattern) =>
          until(`${pattern}`, () => pattern.exec(shown()) ?? undefined).catch((error: unknown) => {
            throw new Error(`${String(error)} in:\n${shown()}`);
          }),
        type: (keys) => void child.stdin.write(keys),
        ended: once(child, 'close').then(([code]) => code as number | null),
      };
    },
  };
  return cf;
}

function textOf(child: ChildProcess, name: 'stdout' | 'stderr'): () => string {
  let text = '';
  child[name]?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return () => text;
}

import { spawn } from 'node:child_process';
import { type Readable, type Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

/** After SIGTERM a program that talks to a server cancels its query there and ends within some 60 ms (measured). */
const PATIENCE_MS = 3000;
const HEAD_BYTES = 32 * 1024;
const TAIL_BYTES = 16 * 1024;

export interface ToolEnd {
  /** Exit code 0 and no signal. */
  ok: boolean;
  /** Null where a signal ended it, or where it could not be started. */
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Beginning and end of what it said, without the secrets that it was given. */
  stderr: string;
}

export interface ToolProcess {
  readonly pid: number | undefined;
  readonly stdout: Readable;
  readonly stdin: Writable;
  /** Resolves once program, its children and their pipes are gone; never rejects. Output must be read meanwhile. */
  readonly ended: Promise<ToolEnd>;
  /** SIGTERM to the whole group, later SIGKILL. */
  stop(): void;
}

export interface ToolOptions {
  env: Record<string, string>;
  /** Never to be seen in what the program said. */
  secrets?: string[];
  /** Ends the program. */
  signal: AbortSignal;
  onStderr?: (text: string) => void;
}

/**
 * Starts a program in a process group of its own. Whether it succeeded is said by its end alone: a program that dies
 * closes its output as one that is done.
 */
export function startTool(program: string, args: readonly string[], options: ToolOptions): ToolProcess {
  const { signal, env } = options;
  const child = spawn(program, args, { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'], cwd: '/' });
  const said = new Said(options.secrets ?? []);
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (text: string) => {
    said.add(text);
    options.onStderr?.(text);
  });
  child.stdin.on('error', () => undefined);
  let gone = false;
  let killing: NodeJS.Timeout | undefined;
  const stop = () => {
    if (gone || killing !== undefined) return;
    killGroup(child.pid, 'SIGTERM');
    killing = setTimeout(() => killGroup(child.pid, 'SIGKILL'), PATIENCE_MS);
  };
  const ended = new Promise<ToolEnd>((resolve) => {
    const end = (code: number | null, by: NodeJS.Signals | null) => {
      gone = true;
      clearTimeout(killing);
      signal.removeEventListener('abort', stop);
      resolve({ ok: code === 0 && by === null, code, signal: by, stderr: said.text() });
    };
    child.once('error', (error) => {
      said.add(`cannot start ${program}: ${error.message}`);
      if (child.pid === undefined) end(null, null);
    });
    child.once('close', end);
  });
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  return { pid: child.pid, stdout: child.stdout, stdin: child.stdin, ended, stop };
}

/** Runs a program to its end; its output is refused beyond `maxBytes`. */
export async function toolOutput(program: string, args: readonly string[], options: ToolOptions, maxBytes: number) {
  const tool = startTool(program, args, options);
  tool.stdin.end();
  const chunks: Buffer[] = [];
  let size = 0;
  tool.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else tool.stop();
  });
  await finished(tool.stdout).catch(() => undefined);
  const end = await tool.ended;
  options.signal.throwIfAborted();
  return { ...end, ok: end.ok && size <= maxBytes, output: Buffer.concat(chunks).toString('utf8') };
}

/** The first error that a program named, in one line, else how it ended. */
export function reasonOf(name: string, end: ToolEnd): string {
  const lines = end.stderr.split('\n').filter((line) => line.trim() !== '');
  const first = lines.findIndex((line) => /\berror:|\bFATAL:|\bcannot start\b/.test(line));
  const named = lines.slice(Math.max(first, 0), Math.max(first, 0) + 3).map((line) => line.trim());
  const how = end.signal === null ? `exit code ${end.code ?? 'unknown'}` : `signal ${end.signal}`;
  return named.length === 0 || end.signal !== null
    ? [`${name} ended with ${how}`, ...named].join(': ')
    : named.join(' ').replace(/^\S*?(pg_\w+): error: /, '$1: ');
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended.
  }
}

class Said {
  #head = '';
  #tail = '';

  constructor(private readonly secrets: string[]) {}

  add(text: string): void {
    const room = HEAD_BYTES - this.#head.length;
    this.#head += text.slice(0, Math.max(room, 0));
    this.#tail = (this.#tail + text.slice(Math.max(room, 0))).slice(-TAIL_BYTES);
  }

  text(): string {
    const all = this.#tail === '' ? this.#head : `${this.#head}\n...\n${this.#tail}`;
    return this.secrets.filter(Boolean).reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), all);
  }
}

import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** Runs a line in a shell as a person pastes it, and gives the JSON that it printed. */
export async function paste(line: string | undefined): Promise<unknown> {
  return JSON.parse(await pasteAll(['sh', '-c', line ?? ''])) as unknown;
}

/** Runs a command and gives what it printed; a machine without curl gets a stand-in. Rejects unless the exit code is 0. */
export async function pasteAll([program = '', ...args]: string[], options: PasteOptions = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'broker-paste-'));
  try {
    await symlink(join(import.meta.dirname, 'curl-stand-in.mjs'), join(folder, 'curl'));
    const path = [process.env['PATH'] ?? '', folder].join(delimiter);
    const { stdout } = await promisify(execFile)(program, args, {
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      env: { ...process.env, ...options.env, PATH: path },
    });
    return stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface PasteOptions {
  cwd?: string;
  env?: Record<string, string>;
}

import { spawn } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';

/** A program ended badly; `output` is the end of what it wrote, with colours only for a terminal. */
export class ProgramError extends Error {
  /** @param {string} message @param {string} output */
  constructor(message, output) {
    super(message);
    this.output = process.stdout.isTTY ? output : stripVTControlCharacters(output);
  }
}

/**
 * Runs a program to its end and resolves with what it wrote (stdout and stderr in the order of arrival).
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, uid?: number, gid?: number, input?: string, signal?: AbortSignal }} [options]
 * @returns {Promise<string>} rejects with ProgramError unless the exit code is 0
 */
export function run(program, args, options = {}) {
  const { input, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...spawnOptions, stdio: 'pipe' });
    /** @type {Buffer[]} */
    const chunks = [];
    child.stdout.on('data', (/** @type {Buffer} */ chunk) => chunks.push(chunk));
    child.stderr.on('data', (/** @type {Buffer} */ chunk) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const output = Buffer.concat(chunks).toString();
      if (code === 0) resolve(output);
      else reject(new ProgramError(`${program} ended with ${signal ?? `exit code ${code}`}`, output.slice(-8000)));
    });
    // A program that ends before it has read its input is judged by its exit code.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
  });
}

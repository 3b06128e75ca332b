import { ProgramError } from '../../embedded/run.mjs';

/**
 * Runs a command of this folder to its end: exit code 1 and the reason where it fails.
 * @param {(signal: AbortSignal) => Promise<void>} work
 */
export async function runStep(work) {
  const asked = new AbortController();
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(name, () => asked.abort());
  try {
    await work(asked.signal);
  } catch (error) {
    if (error instanceof ProgramError) process.stderr.write(`${error.output.trim()}\n`);
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

import { watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isBuilt } from './build.mjs';
import { prepareCheckout } from './prepare.mjs';
import { PROJECT } from './project.mjs';
import { ProgramError } from './run.mjs';

/** An editor writes a file in several steps. */
const SETTLE = 150;

/**
 * Resolves when the sources have changed and are built; a build that fails is shown, and the next change awaited.
 * @param {import('./steps.mjs').Steps} steps
 * @param {AbortSignal} signal
 */
export async function rebuiltAfterChange(steps, signal) {
  const watchers = ['src', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'nest-cli.json'].map((path) =>
    watch(join(PROJECT, path), { recursive: path === 'src' }, () => onChange()),
  );
  let onChange = () => {};
  let faulty = false;
  try {
    for (;;) {
      await new Promise((/** @type {(value: void) => void} */ resolve) => {
        onChange = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      signal.throwIfAborted();
      await wait(SETTLE);
      if (isBuilt()) {
        if (faulty) steps.say('the sources are again as they were built');
        faulty = false;
        continue;
      }
      try {
        await prepareCheckout(steps, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        faulty = true;
        steps.say(error instanceof ProgramError ? error.output : String(error));
      }
    }
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}

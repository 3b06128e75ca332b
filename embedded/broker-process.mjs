import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { writeSecretFile } from './files.mjs';
import { markOf } from './process-mark.mjs';
import { CACHE, DIST, projectNode } from './project.mjs';

/** Longer than `operations.grace` by default, so that running work is handed over before patience ends. */
const STOP_PATIENCE = 60_000;

/** Together 15 MB less resident when idle, 40 MB less under load: streams make garbage that is best collected young. */
export const BROKER_FLAGS = ['--max-semi-space-size=2'];
/** glibc keeps an arena of freed memory for each thread; two are enough. */
export const BROKER_ENVIRONMENT = { MALLOC_ARENA_MAX: '2' };

/**
 * @typedef {object} BrokerProcess
 * @property {Promise<string>} ready its URL; rejects when it ends before
 * @property {Promise<{ code: number | null, signal: NodeJS.Signals | null }>} ended
 * @property {() => Promise<void>} stop lets it end its requests, and resolves when it has ended
 * @property {(signal: NodeJS.Signals) => void} signal
 */

/**
 * Starts the built broker. It has a process group of its own: Ctrl-C in a terminal reaches the starter only, which ends
 * broker and PostgreSQL one after the other. It ends by itself when this process dies.
 * @param {NodeJS.ProcessEnv} env
 * @param {string} recordFile takes its pid, for the next start to look at
 * @returns {BrokerProcess}
 */
export function startBroker(env, recordFile) {
  const child = spawn(projectNode(), [...BROKER_FLAGS, join(DIST, 'main.js')], {
    env: { ...BROKER_ENVIRONMENT, NODE_COMPILE_CACHE: join(CACHE, 'compiled'), ...env },
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  /** @type {BrokerProcess['ended']} */
  const ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: 1, signal: null }));
  });
  const mark = child.pid === undefined ? undefined : markOf(child.pid);
  if (mark) writeSecretFile(recordFile, JSON.stringify(mark));
  /** @type {Promise<string>} */
  const ready = new Promise((resolve, reject) => {
    child.on('message', (message) => {
      const { ready: url } = /** @type {{ ready?: unknown }} */ (message);
      if (typeof url === 'string') resolve(url);
    });
    void ended.then(() => reject(new Error('the broker ended before it was ready')));
  });
  // Who waits for `ended` only must not be bothered.
  ready.catch(() => {});
  return {
    ready,
    ended,
    signal: (signal) => {
      child.kill(signal);
    },
    stop: async () => {
      child.kill('SIGTERM');
      const impatience = new AbortController();
      await Promise.race([ended, wait(STOP_PATIENCE, undefined, { signal: impatience.signal }).catch(() => {})]);
      impatience.abort();
      child.kill('SIGKILL');
      await ended;
    },
  };
}

import { setTimeout as wait } from 'node:timers/promises';

/** @typedef {import('./server.mjs').Server} Server */

/** A server that ends so often in a row will not do better. */
const MOST_RESTARTS = 5;
const LONG_ENOUGH = 60_000;

/**
 * Keeps PostgreSQL running: starts it again when it has ended by itself.
 * @param {() => Promise<Server>} start
 * @param {(line: string) => void} say
 * @returns {Promise<{ lost: Promise<never>, stop: () => Promise<void> }>} `lost` rejects when it cannot be kept running
 */
export async function superviseServer(start, say) {
  let server = await start();
  let stopping = false;
  const keep = async () => {
    for (let restarts = 1; ; restarts += 1) {
      const began = Date.now();
      await server.ended;
      if (stopping) return;
      if (Date.now() - began > LONG_ENOUGH) restarts = 1;
      if (restarts > MOST_RESTARTS) throw new Error(`postgresql ended ${restarts} times in a row`);
      say('PostgreSQL has ended unexpectedly');
      await wait(200 * restarts);
      if (stopping) return;
      server = await start();
    }
  };
  const kept = keep();
  /** @type {Promise<never>} */
  const lost = new Promise((_resolve, reject) => {
    kept.catch(reject);
  });
  lost.catch(() => {});
  return {
    lost,
    stop: async () => {
      stopping = true;
      await server.stop('fast');
      // It may have been about to be started again.
      await kept.catch(() => {});
      await server.stop('fast');
    },
  };
}

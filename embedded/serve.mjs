import { join } from 'node:path';
import { announcement, logins } from './announcement.mjs';
import { startBroker } from './broker-process.mjs';
import { rebuiltAfterChange } from './source-watch.mjs';

/**
 * Runs the broker until it ends, is asked to stop, or `lost` rejects; with `watch` a new one after each change of the
 * sources.
 * @param {object} setting
 * @param {import('./configuration.mjs').BrokerConfig} setting.config
 * @param {string} setting.dataFolder
 * @param {boolean} setting.embedded
 * @param {NodeJS.ProcessEnv} setting.env of the broker
 * @param {boolean} setting.watch
 * @param {Promise<never>} lost
 * @param {import('./steps.mjs').Steps} steps
 * @param {AbortSignal} signal
 * @returns {Promise<number>} the exit code
 */
export async function serve({ config, dataFolder, embedded, env, watch }, lost, steps, signal) {
  const record = brokerRecord(dataFolder);
  const asked = new Promise((/** @type {(why: 'asked') => void} */ resolve) => {
    if (signal.aborted) resolve('asked');
    signal.addEventListener('abort', () => resolve('asked'), { once: true });
  });
  for (;;) {
    const watching = new AbortController();
    const stopWatching = () => watching.abort();
    signal.addEventListener('abort', stopWatching, { once: true });
    const changed = watch
      ? rebuiltAfterChange(steps, watching.signal).then(() => /** @type {const} */ ('changed'))
      : undefined;
    changed?.catch(() => {});
    const broker = startBroker(env, record);
    const passHangUp = () => broker.signal('SIGHUP');
    process.on('SIGHUP', passHangUp);
    try {
      const ended = broker.ended.then(() => /** @type {const} */ ('ended'));
      const others = [asked, lost, ...(changed ? [changed] : [])];
      const up = steps
        .step('start the broker', () => Promise.race([broker.ready, ...others]), 'speaks')
        .catch((/** @type {unknown} */ error) => {
          if (!watch) throw error;
        });
      const url = await up;
      if (url && url !== 'asked' && url !== 'changed')
        steps.say(announcement(url, logins(config, embedded ? dataFolder : undefined), process.stdout.isTTY));
      // While somebody works on the sources, the next change may help.
      const why = await Promise.race([...others, ...(watch ? [] : [ended])]);
      if (why === 'ended') return await endedBy(broker, steps);
      if (why === 'asked') return 0;
    } finally {
      process.off('SIGHUP', passHangUp);
      signal.removeEventListener('abort', stopWatching);
      watching.abort();
      await broker.stop();
    }
  }
}

/** Where the pid of the running broker is written down. @param {string} dataFolder */
export function brokerRecord(dataFolder) {
  return join(dataFolder, 'broker-process.json');
}

/** @param {import('./broker-process.mjs').BrokerProcess} broker @param {import('./steps.mjs').Steps} steps */
async function endedBy(broker, steps) {
  const { code, signal } = await broker.ended;
  steps.say(`the broker has ended ${signal ? `by ${signal}` : `with exit code ${code}`}`);
  return code ?? 1;
}

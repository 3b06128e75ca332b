import { isMainThread } from 'node:worker_threads';
import { endGroup } from './process-group.mjs';

// Loaded into jest: `npm test` holds its standard input open as long as it lives, even when it is killed. Jest's workers
// have a channel to jest instead, and are of its group.
if (isMainThread && process.send === undefined) {
  process.stdin.once('close', () => {
    process.on('SIGTERM', () => {});
    void endGroup(process.pid);
  });
  process.stdin.resume();
  /** @type {import('node:net').Socket} */ (process.stdin).unref();
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { storedStream } from './stored-stream.js';

async function* piece() {
  yield await Promise.resolve(Buffer.from('piece'));
}

it('an abort before anybody reads ends no process; who reads later meets its reason', async () => {
  const abort = new AbortController();
  let released = 0;
  const stream = storedStream(piece(), abort.signal, () => (released += 1));
  abort.abort(new Error('given up'));
  await nextTurn();
  expect(released).toBe(1);
  await expect(stream.toArray()).rejects.toThrow('given up');
});

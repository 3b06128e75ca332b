import { setImmediate as nextTurn } from 'node:timers/promises';
import { storedStream } from './stored-stream.js';

const MIB = 1024 * 1024;

async function* buffers(count: number) {
  for (let made = 0; made < count; made += 1) {
    await nextTurn();
    yield Buffer.allocUnsafeSlow(64 * 1024);
  }
}

describe('buffers that have passed', () => {
  it('do not stay in memory', async () => {
    const before = process.memoryUsage().arrayBuffers;
    let highest = 0;
    let passed = 0;
    for await (const chunk of storedStream(buffers(8000), new AbortController().signal, () => undefined)) {
      passed += (chunk as Buffer).length;
      highest = Math.max(highest, process.memoryUsage().arrayBuffers - before);
    }
    expect(passed).toBe(500 * MIB);
    expect(highest / MIB).toBeLessThan(30);
  });
});

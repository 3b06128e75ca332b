import { MOST_PARTS, PartBuffers, partSize, partsInFlight, planParts } from './s3-parts.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;

/** Bytes that so many parts hold, and the largest of them. */
function held(sizeHint: number | undefined, parts: number): { bytes: number; largest: number } {
  const plan = planParts(sizeHint);
  let bytes = 0;
  let largest = 0;
  for (let part = 0; part < parts; part++) {
    const size = partSize(plan, bytes);
    largest = Math.max(largest, size);
    bytes += size;
  }
  return { bytes, largest };
}

describe('parts', () => {
  it.each([undefined, 0, 1, 8 * MIB, 9 * GIB, 70 * GIB])('have 8 MiB at first where %p bytes are expected', (hint) => {
    expect(partSize(planParts(hint), 0)).toBe(8 * MIB);
  });

  it.each([1 * GIB, 100 * GIB, 1 * TIB, 5 * TIB])('%p bytes as expected need 9,000 parts at most', (hint) => {
    expect(held(hint, 9_000).bytes).toBeGreaterThanOrEqual(hint);
  });

  it.each([100 * GIB, 1 * TIB])('hold twice as much as the %p bytes that were expected', (hint) => {
    expect(held(hint, MOST_PARTS).bytes).toBeGreaterThan(2 * hint);
  });

  it.each([undefined, 1 * GIB])('hold what S3 holds, where %p bytes were expected', (hint) => {
    const { bytes, largest } = held(hint, MOST_PARTS);
    expect(bytes).toBeGreaterThan(5 * TIB);
    expect(largest).toBeLessThanOrEqual(5 * GIB);
  });

  it('are few enough at once to stay within 48 MiB, and never none', () => {
    expect([8, 16, 24, 25, 48, 49, 1000].map((size) => partsInFlight(size * MIB))).toEqual([3, 3, 2, 1, 1, 1, 1]);
  });

  it('use a buffer again', () => {
    const buffers = new PartBuffers();
    const first = buffers.take(1000);
    buffers.give(first);
    expect(buffers.take(900).buffer).toBe(first.buffer);
    buffers.give(first);
    expect(buffers.take(2000)).toHaveLength(2000);
  });
});

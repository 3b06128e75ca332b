import { median, round } from './figures.mjs';

/** @typedef {{ what: string, baseline_ms: number, broker_ms: number, ratio: number, goal: string, ratios: number[] }} Compared */

/**
 * Runs two pieces of work by turns and compares each with its neighbour, so that what slows the machine down for a while slows both.
 * @param {string} what
 * @param {string} goal
 * @param {number} rounds beside a first one, which warms up and is not counted
 * @param {{ ours: () => Promise<number>, baseline: () => Promise<number>, before: () => Promise<void> }} work each of the two gives its
 *   milliseconds; `before` is run before each
 * @returns {Promise<Compared>}
 */
export async function compare(what, goal, rounds, { ours, baseline, before }) {
  /** @type {{ ours: number, baseline: number }[]} */
  const pairs = [];
  const quietly = async (/** @type {() => Promise<number>} */ work) => {
    await before();
    return work();
  };
  for (let turn = -1; turn < rounds; turn += 1) {
    const pair = { ours: 0, baseline: 0 };
    /** @type {('ours' | 'baseline')[]} */
    const order = ['ours', 'baseline'];
    // What one leaves to be flushed, the other must not always pay.
    if (turn % 2 !== 0) order.reverse();
    for (const which of order) pair[which] = await quietly(which === 'ours' ? ours : baseline);
    if (turn >= 0) pairs.push(pair);
    console.log(
      `${what}: ${Math.round(pair.ours)} ms, ${Math.round(pair.baseline)} ms${turn < 0 ? ', to warm up' : ''}`,
    );
  }
  const ratios = pairs.map((pair) => round(pair.ours / pair.baseline));
  return {
    what,
    baseline_ms: Math.round(median(pairs.map((pair) => pair.baseline))),
    broker_ms: Math.round(median(pairs.map((pair) => pair.ours))),
    ratio: round(median(ratios)),
    goal,
    ratios,
  };
}

/** @param {() => Promise<unknown>} work @returns {Promise<number>} milliseconds */
export async function timed(work) {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

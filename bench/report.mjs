import { statSync } from 'node:fs';
import { keep } from './figures.mjs';
import { machineFacts } from './machine.mjs';

/** @typedef {import('./pairs.mjs').Compared} Compared */
/**
 * @typedef {object} Outage
 * @property {string} what
 * @property {number} p95_ms of what clients saw
 * @property {string} goal
 * @property {number} median_ms
 * @property {number} longest_ms
 * @property {number} told_ms median of what the broker itself says
 * @property {string} seen how many clients noticed
 */

export const MEMORY_GOAL = '<= 200 MB';

/**
 * Prints each figure beside its goal and, unless it was a quick run, keeps them. Nothing is judged: a machine in use is no reason to fail.
 * @param {string} name
 * @param {{ broker: import('./bench-broker.mjs').BenchBroker, quick: boolean, data: Record<string, number>, compared: Compared[],
 *   outages: Outage[], memory: import('./resident-memory.mjs').HighestMemory }} results
 */
export function report(name, { broker, quick, data, compared, outages, memory }) {
  console.table(
    compared.map(({ what, baseline_ms, broker_ms, ratio, goal }) => ({ what, baseline_ms, broker_ms, ratio, goal })),
  );
  if (outages.length > 0) console.table(outages);
  console.table(memory.rows.map((row) => ({ ...row, goal: MEMORY_GOAL })));
  if (quick) return;
  const machine = machineFacts(broker.postgresVersion);
  console.log(`kept in ${keep(name, { machine, data, compared, outages, memory: memory.rows })}`);
}

/** @param {string} file */
export function sizeOf(file) {
  return statSync(file).size;
}

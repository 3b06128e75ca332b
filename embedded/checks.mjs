import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT, projectNode } from './project.mjs';
import { ProgramError, run } from './run.mjs';

/** @typedef {{ passed: number, failed: number }} Tally */

/** What judges the sources without running them. Two columns of about equal length, for two cores. */
const COLUMNS = [
  [{ name: 'eslint', args: ['--max-warnings', '0', '.'] }],
  [
    { name: 'tsc', args: ['--noEmit'] },
    { name: 'depcruise', args: ['--config', '.dependency-cruiser.cjs', 'src'] },
    { name: 'knip', args: [] },
    { name: 'prettier', args: ['--check', '.'] },
  ],
];

/**
 * Runs every check, whatever the others say; each counts as one test.
 * @param {AbortSignal} signal
 * @returns {Promise<Tally>}
 */
export async function runChecks(signal) {
  const tallies = await Promise.all(
    COLUMNS.map(async (column) => {
      const tally = { passed: 0, failed: 0 };
      for (const { name, args } of column) add(tally, await check(name, () => runTool(name, args, signal)));
      return tally;
    }),
  );
  return tallies.reduce(add, { passed: 0, failed: 0 });
}

/** @param {string} name @param {() => Promise<unknown>} work @returns {Promise<Tally>} */
export async function check(name, work) {
  const begun = performance.now();
  const say = (/** @type {string} */ outcome) =>
    process.stdout.write(`${outcome} ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)\n`);
  try {
    await work();
    say('PASS');
    return { passed: 1, failed: 0 };
  } catch (error) {
    say('FAIL');
    process.stdout.write(`${error instanceof ProgramError ? error.output : String(error)}\n`);
    return { passed: 0, failed: 1 };
  }
}

/** Adds to the first. @param {Tally} sum @param {Tally} more */
export function add(sum, more) {
  sum.passed += more.passed;
  sum.failed += more.failed;
  return sum;
}

/** @param {string} name @param {string[]} args @param {AbortSignal} signal */
function runTool(name, args, signal) {
  const script = realpathSync(join(PROJECT, 'node_modules', '.bin', name));
  return run(projectNode(), [script, ...args], { cwd: PROJECT, env: { ...process.env, NO_COLOR: '1' }, signal });
}

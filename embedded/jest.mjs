import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { readJson } from './files.mjs';
import { makeOwnedFolder } from './owned-folder.mjs';
import { endGroup, leftOf } from './process-group.mjs';
import { PROJECT, projectNode } from './project.mjs';

/** @typedef {import('./checks.mjs').Tally} Tally */
/** @typedef {{ numPassedTests: number, numFailedTests: number, numRuntimeErrorTestSuites: number, numPendingTests: number, numTodoTests: number }} Report */

const REPORTERS = ['default', join(PROJECT, 'embedded', 'jest-report.mjs')].map((name) => `--reporters=${name}`);

/**
 * Runs the tests of all files, or of those that the arguments name. What the tests start ends with them.
 * @param {string[]} args of jest
 * @param {AbortSignal} signal
 * @param {{ patience?: number, config?: string }} [options] `patience`: how long, in milliseconds, jest may go on after its
 *   report, which it writes last of all; `config`: a configuration other than the project's
 * @returns {Promise<Tally>}
 */
export async function runJest(args, signal, { patience = 20_000, config } = {}) {
  const folder = makeOwnedFolder('broker-jest-');
  const file = join(folder, 'report.json');
  try {
    const all = [...args, ...(config ? [`--config=${config}`] : []), ...REPORTERS];
    const { code, faults } = await jest(all, file, patience, signal);
    for (const fault of faults) process.stdout.write(`${fault}\n`);
    return tallyOf(/** @type {Report} */ (readJson(file)), args.length > 0, code === 0 && faults.length === 0);
  } catch (error) {
    process.stdout.write(`jest gave no report: ${String(error)}\n`);
    return { passed: 0, failed: 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string[]} args
 * @param {string} report
 * @param {number} patience
 * @param {AbortSignal} signal
 * @returns {Promise<{ code: number | null, faults: string[] }>} `faults`: what is wrong beside the tests themselves
 */
async function jest(args, report, patience, signal) {
  const program = join(PROJECT, 'node_modules', 'jest', 'bin', 'jest.js');
  const guard = pathToFileURL(join(PROJECT, 'embedded', 'ends-with-runner.mjs')).href;
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', '--import', guard];
  const child = spawn(projectNode(), [...node, program, ...args], {
    cwd: PROJECT,
    env: { ...withProjectNode(), BROKER_TEST_REPORT: report },
    // The input stays open: its end says that nobody is left here.
    stdio: ['pipe', 'ignore', 'inherit'],
    // In a process group of its own all that the tests have started can be found, and ended.
    detached: true,
  });
  const exit = once(child, 'exit');
  exit.catch(() => {});
  const group = child.pid;
  if (group === undefined) throw (await once(child, 'error'))[0];
  const done = new AbortController();
  try {
    const outcome = await Promise.race([
      exit.then(() => ({ code: child.exitCode, faults: /** @type {string[]} */ ([]) })),
      overdue(report, patience, AbortSignal.any([signal, done.signal])),
    ]);
    const left = outcome.faults.length > 0 ? [] : await leftOf(group);
    outcome.faults.push(...left.map((process) => `the tests have left a process: ${process}`));
    return outcome;
  } finally {
    done.abort();
    await endGroup(group);
  }
}

/** Resolves when jest goes on though it has written its report; rejects when it is to stop.
 * @param {string} report @param {number} patience @param {AbortSignal} signal */
async function overdue(report, patience, signal) {
  while (!existsSync(report)) await wait(200, undefined, { signal });
  await wait(patience, undefined, { signal });
  const fault = 'jest did not end after its last test: something is left open (jest --detectOpenHandles may name it)';
  return { code: null, faults: [fault] };
}

/** @param {Report} report @param {boolean} narrowed @param {boolean} succeeded @returns {Tally} */
function tallyOf(report, narrowed, succeeded) {
  // Who narrows the run leaves tests out on purpose; nobody else does.
  const skipped = narrowed ? 0 : report.numPendingTests + report.numTodoTests;
  if (skipped > 0) process.stdout.write(`${skipped} tests were skipped: each counts as failed\n`);
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites + skipped;
  return { passed: report.numPassedTests, failed: failed === 0 && !succeeded ? 1 : failed };
}

/** What the tests start by the name of `node` is the project's own. */
function withProjectNode() {
  const path = [join(PROJECT, 'node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter);
  return { ...process.env, PATH: path };
}

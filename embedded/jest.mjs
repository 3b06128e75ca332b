import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { readJson } from './files.mjs';
import { PROJECT, projectNode } from './project.mjs';

/** @typedef {import('./checks.mjs').Tally} Tally */
/** @typedef {{ numPassedTests: number, numFailedTests: number, numRuntimeErrorTestSuites: number, numPendingTests: number, numTodoTests: number }} Report */

/**
 * Runs the tests of all files, or of those that the arguments name.
 * @param {string[]} args of jest
 * @param {AbortSignal} signal
 * @returns {Promise<Tally>}
 */
export async function runJest(args, signal) {
  const folder = mkdtempSync(join(tmpdir(), 'broker-jest-'));
  const file = join(folder, 'report.json');
  try {
    const jest = join(PROJECT, 'node_modules', 'jest', 'bin', 'jest.js');
    const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
    const child = spawn(projectNode(), [...node, jest, '--json', `--outputFile=${file}`, ...args], {
      cwd: PROJECT,
      env: withProjectNode(),
      // With --json the report also goes to standard output.
      stdio: ['ignore', 'ignore', 'inherit'],
      signal,
    });
    /** @type {number | null} */
    const code = await new Promise((/** @type {(code: number | null) => void} */ resolve, reject) => {
      child.once('exit', resolve);
      child.once('error', reject);
    });
    return tallyOf(/** @type {Report} */ (readJson(file)), args.length > 0, code === 0);
  } catch (error) {
    process.stdout.write(`jest gave no report: ${String(error)}\n`);
    return { passed: 0, failed: 1 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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

import { join } from 'node:path';
import { add, check } from './checks.mjs';
import { goEnvironment, goToolchain } from './go-toolchain.mjs';
import { goTool } from './go-tools.mjs';
import { PROJECT } from './project.mjs';
import { run } from './run.mjs';

/** @typedef {import('./checks.mjs').Tally} Tally */
/** @typedef {import('./steps.mjs').Steps} Steps */

const PLUGIN = join(PROJECT, 'cf-plugin');

/**
 * Brings Go and the tools that are made with it, among them the real cf of the end-to-end tests.
 * @param {Steps} steps
 * @param {AbortSignal} signal
 * @returns {Promise<Tally>}
 */
export async function bringGoTools(steps, signal) {
  const options = { steps, signal };
  const tally = await check('cf, the CLI of Cloud Foundry, for the tests of its plugin', () => goTool('cf', options));
  return add(tally, await check('staticcheck', () => goTool('staticcheck', options)));
}

/**
 * What judges the cf CLI plugin without a broker: format, lint and its own tests.
 * @param {Steps} steps
 * @param {AbortSignal} signal
 * @returns {Promise<Tally>}
 */
export async function runGoChecks(steps, signal) {
  const options = { steps, signal };
  const tally = { passed: 0, failed: 0 };
  const checks = {
    gofmt: () => assertFormatted(options),
    'go vet': () => go(['vet', './...'], options),
    'staticcheck of the plugin': () => staticcheck(options),
    'go test': () => goTest(steps, options),
  };
  for (const [name, work] of Object.entries(checks)) add(tally, await check(name, work));
  return tally;
}

/** @typedef {{ steps: Steps, signal: AbortSignal }} Options */

/** @param {string[]} args @param {Options} options @param {NodeJS.ProcessEnv} [more] */
async function go(args, options, more) {
  const toolchain = await goToolchain(options);
  const env = goEnvironment(toolchain, more);
  return run(toolchain.go, args, { cwd: PLUGIN, env, signal: options.signal });
}

/** @param {Options} options */
async function assertFormatted(options) {
  const toolchain = await goToolchain(options);
  const env = goEnvironment(toolchain);
  const root = (await run(toolchain.go, ['env', 'GOROOT'], { cwd: PLUGIN, env, signal: options.signal })).trim();
  const unformatted = await run(join(root, 'bin', 'gofmt'), ['-l', '.'], { cwd: PLUGIN, signal: options.signal });
  if (unformatted !== '') throw new Error(`not formatted by gofmt:\n${unformatted}`);
}

/** @param {Options} options */
async function staticcheck(options) {
  const program = await goTool('staticcheck', options);
  const env = goEnvironment(await goToolchain(options));
  return run(program, ['./...'], { cwd: PLUGIN, env, signal: options.signal });
}

/** The race detector needs a C compiler; where there is none the tests run without it. @param {Steps} steps @param {Options} options */
async function goTest(steps, options) {
  const compiler = await cCompiler(options.signal);
  if (compiler === undefined) {
    steps.say('go test runs without the race detector: it needs a C compiler (gcc or clang), and there is none');
    return go(['test', './...'], options);
  }
  return go(['test', '-race', './...'], options, { CGO_ENABLED: '1', CC: compiler });
}

/** @param {AbortSignal} signal */
async function cCompiler(signal) {
  for (const name of ['gcc', 'clang', 'cc'])
    try {
      await run(name, ['--version'], { signal });
      return name;
    } catch {
      signal.throwIfAborted();
    }
  return undefined;
}

import { add, check, runChecks } from './checks.mjs';
import { bringGoTools, runGoChecks } from './go-checks.mjs';
import { runJest } from './jest.mjs';
import { obtainPostgres } from './obtain-postgres.mjs';
import { prepareCheckout, prepareTools } from './prepare.mjs';
import { ProgramError } from './run.mjs';
import { createSteps } from './steps.mjs';
import { versitygwBinary } from './versitygw.mjs';

/** Far beyond what all of it takes where everything has yet to be fetched: something hangs. */
const TIME_LIMIT = 40 * 60_000;

const steps = createSteps();
const asked = new AbortController();
for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(name, () => asked.abort());
const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(TIME_LIMIT)]);

/** `npm test`: from a fresh checkout to the result of every check and test. @param {string[]} args name the files to narrow it to */
async function test(args) {
  await prepareTools(steps, signal);
  await obtainPostgres(process.env, steps, signal);
  const tally = await check('build', () => prepareCheckout(steps, signal));
  add(tally, await check('versitygw, the S3 server of the tests', () => versitygwBinary({ steps, signal })));
  const whole = args.length === 0;
  if (whole || args.some((each) => each.includes('cf-plugin'))) {
    add(tally, await bringGoTools(steps, signal));
    add(tally, await runGoChecks(steps, signal));
  }
  if (whole) add(tally, await runChecks(signal));
  return add(tally, await runJest(args, signal));
}

try {
  const { passed, failed } = await test(process.argv.slice(2));
  if (signal.aborted) process.stdout.write(asked.signal.aborted ? '\nstopped\n' : '\nstopped: its time is over\n');
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 && !signal.aborted ? 0 : 1;
} catch (error) {
  if (error instanceof ProgramError) process.stdout.write(`${error.output}\n`);
  process.stdout.write(`${String(error)}\n\n0 passed, 1 failed\n`);
  process.exitCode = 1;
}
process.exit();

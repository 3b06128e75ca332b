import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { PROJECT } from '../../../embedded/project.mjs';
import { until } from '../../support/until.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'broker-jest-run-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a test file as `npm test` does; what is printed ends with the tally. */
function runTests(source: string) {
  writeFileSync(join(folder, 'only.spec.cjs'), source);
  writeFileSync(join(folder, 'jest.config.json'), JSON.stringify({ testMatch: ['**/*.spec.cjs'] }));
  const script = `
    import { runJest } from ${JSON.stringify(join(PROJECT, 'embedded', 'jest.mjs'))};
    const asked = new AbortController();
    process.on('SIGTERM', () => asked.abort());
    const tally = await runJest(['--config', process.argv[1]], asked.signal, { patience: 200 });
    console.log(JSON.stringify(tally));
    process.exit();
  `;
  const config = join(folder, 'jest.config.json');
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, config], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return { child, printed: text(child.stdout) };
}

/** Begins a process that outlives its test, and notes its pid. */
const LEAVES_A_PROCESS = `
  const left = require('node:child_process').spawn('sleep', ['600'], { stdio: 'ignore' });
  left.unref();
  require('node:fs').writeFileSync(require('node:path').join(__dirname, 'pid'), String(left.pid));
`;

async function expectProcessGone(): Promise<void> {
  const pid = readFileSync(join(folder, 'pid'), 'utf8');
  await until('the end of the process', () =>
    readFile(`/proc/${pid}/stat`, 'utf8').then(
      (stat) => stat.includes(') Z '),
      () => true,
    ),
  );
}

describe('the run of the tests', () => {
  it('counts what passed', async () => {
    expect(await runTests(`it('passes', () => {});`).printed).toBe('{"passed":1,"failed":0}\n');
  });

  it('fails, and ends, where jest does not end after its last test', async () => {
    const printed = await runTests(`it('passes', () => { setInterval(() => {}, 1000); });`).printed;
    expect(printed).toMatch(/^jest did not end after its last test.*\n\{"passed":1,"failed":1\}\n$/);
  });

  it('fails where the tests have left a process, and ends it', async () => {
    const printed = await runTests(`it('passes', () => { ${LEAVES_A_PROCESS} });`).printed;
    expect(printed).toMatch(/^the tests have left a process: \d+ sleep 600\n\{"passed":1,"failed":1\}\n$/);
    await expectProcessGone();
  });

  it('ends all that the tests have started when it is stopped', async () => {
    const { child, printed } = runTests(
      `it('never ends', () => { ${LEAVES_A_PROCESS} return new Promise(() => {}); });`,
    );
    await until('the test to begin', () => Promise.resolve(existsSync(join(folder, 'pid'))));
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
    expect(await printed).toMatch(/"failed":1\}\n$/);
    await expectProcessGone();
  });

  it('ends what the tests have started even where it is killed', async () => {
    const { child } = runTests(`it('never ends', () => { ${LEAVES_A_PROCESS} return new Promise(() => {}); });`);
    await until('the test to begin', () => Promise.resolve(existsSync(join(folder, 'pid'))));
    child.kill('SIGKILL');
    await expectProcessGone();
  });
});

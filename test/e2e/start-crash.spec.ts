import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectGone, npmStart, processesOf, type Starter, temporaryFolder } from '../support/starter.js';

let dataDir: string;
let port: number;

async function start(): Promise<Starter> {
  const starter = await npmStart({ dataDir, port });
  await starter.ready();
  return starter;
}

beforeAll(async () => {
  dataDir = join(await temporaryFolder(), 'data');
});

describe('npm start after kill -9', () => {
  it('of the starter: the broker has ended by itself, the left PostgreSQL is ended', async () => {
    const first = await npmStart({ dataDir });
    port = first.port;
    await first.ready();
    const left = processesOf(dataDir);
    process.kill(left.starter.pid, 'SIGKILL');
    await first.ended;
    await expectGone({ broker: left.broker });
    const second = await start();
    await expectGone(left);
    expect(processesOf(dataDir).postgres.pid).not.toBe(left.postgres.pid);
    await second.stop('SIGTERM');
  });

  it('of the broker: all ends, and the exit code says that it was no orderly end', async () => {
    const starter = await start();
    const processes = processesOf(dataDir);
    process.kill(processes.broker.pid, 'SIGKILL');
    expect(await starter.ended).toBe(1);
    expect(starter.output()).toContain('the broker has ended by SIGKILL');
    await expectGone(processes);
  });

  it('of all at once, even where their pids are those of others by now', async () => {
    const starter = await start();
    const killed = processesOf(dataDir);
    for (const { pid } of Object.values(killed) as { pid: number }[]) process.kill(pid, 'SIGKILL');
    await starter.ended;
    await expectGone(killed);
    const mine = (text: string, pid: number) => text.replaceAll(String(pid), String(process.pid));
    const pidFile = join(dataDir, 'postgres', 'data', 'postmaster.pid');
    writeFileSync(pidFile, mine(readFileSync(pidFile, 'utf8'), killed.postgres.pid));
    const record = join(dataDir, 'broker-process.json');
    writeFileSync(record, mine(readFileSync(record, 'utf8'), killed.broker.pid));
    const again = await start();
    expect(await again.stop('SIGTERM')).toBe(0);
  });

  it('is not needed for two starts at once to agree on one', async () => {
    const both = await Promise.all([npmStart({ dataDir, port }), npmStart({ dataDir, port })]);
    const codes = both.map(({ ended }) => ended);
    const loser = await Promise.race(codes.map((code, index) => code.then(() => index)));
    const winner = both[1 - loser];
    await winner?.ready();
    expect(await codes[loser]).toBe(1);
    expect(both[loser]?.output()).toContain('uses the data folder');
    expect(await winner?.stop('SIGTERM')).toBe(0);
  });
});

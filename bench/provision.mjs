import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { PROJECT } from '../embedded/project.mjs';
import { findFreePort } from '../embedded/server.mjs';
import { startBenchBroker } from './bench-broker.mjs';
import { makeFolder, removeFolder } from './bench-folder.mjs';
import { keep, median, round } from './figures.mjs';
import { machineFacts } from './machine.mjs';
import { PlatformClient } from './platform-client.mjs';
import { record, Replay } from './recorded-sql.mjs';
import { residentMegabytes } from './resident-memory.mjs';

/** @typedef {import('./bench-broker.mjs').BenchBroker} BenchBroker */
/** @typedef {import('./recorded-sql.mjs').Recording} Recording */

const PARALLEL = [1, 4, 16];

/** Provision and bind rates against the same SQL run raw; time to ready; resident memory. @param {{ quick: boolean }} options */
export async function measureProvision({ quick }) {
  const broker = await startBenchBroker({ maxConnections: 40 });
  const platform = new PlatformClient(broker);
  try {
    await wait(quick ? 1000 : 10_000);
    const idle = residentMegabytes(broker.pid);
    const rates = await measureRates(broker, platform, quick ? { rounds: 1, each: 16 } : { rounds: 7, each: 32 });
    const memory = await measureMemory(broker, platform, quick ? 20 : 500);
    const ready = await measureReady(quick ? 1 : 5);
    const results = {
      machine: machineFacts(broker.postgresVersion),
      rates,
      memory_mb: { idle: round(idle), ...memory },
      ready_s: ready,
    };
    console.table(rates);
    console.table(results.memory_mb);
    console.table(ready);
    if (!quick) console.log(`kept in ${keep('provision', results)}`);
  } finally {
    platform.close();
    await broker.end();
  }
}

/** @param {BenchBroker} broker @param {PlatformClient} platform @param {{ rounds: number, each: number }} size */
async function measureRates(broker, platform, size) {
  const state = new pg.Client(broker.stateUrl);
  await state.connect();
  const column = async (/** @type {string} */ query) =>
    (await state.query({ text: query, rowMode: 'array' })).rows.flat().filter((value) => typeof value === 'string');
  await platform.provision('warm');
  await platform.bind('warm', 'warm');
  const provision = await record(
    broker,
    () => platform.provision('recorded'),
    () => column(`SELECT database, owner_role, connect_role, reader_role FROM service_instance WHERE id = 'recorded'`),
  );
  const bind = await record(
    broker,
    () => platform.bind('recorded', 'recorded'),
    () => column(`SELECT role FROM service_binding WHERE instance_id = 'recorded'`),
  );
  await state.end();
  const rows = [];
  for (const parallel of PARALLEL) {
    rows.push(await rateOf(broker, 'provision', parallel, size, provision, (name) => platform.provision(name)));
    rows.push(await rateOf(broker, 'bind', parallel, size, bind, (name) => platform.bind('recorded', name)));
  }
  return rows;
}

/**
 * @param {BenchBroker} broker @param {string} what @param {number} parallel @param {{ rounds: number, each: number }} size
 * @param {Recording} recording @param {(name: string) => Promise<void>} ours
 */
async function rateOf(broker, what, parallel, { rounds, each }, recording, ours) {
  const replays = await Promise.all(
    Array.from({ length: parallel }, async () => {
      const replay = new Replay(broker, recording);
      await replay.connect();
      return replay;
    }),
  );
  /** @type {{ raw: number, ours: number }[]} */
  const pairs = [];
  for (let turn = 0; turn < rounds; turn += 1) {
    const raw = () => rate(each, parallel, (_, worker) => replays[worker]?.run());
    const own = () => rate(each, parallel, (index) => ours(`${what}-${parallel}-${turn}-${index}`));
    // The order changes from round to round: what one leaves to be flushed, the other must not always pay.
    if (turn % 2 === 0) pairs.push({ raw: await raw(), ours: await own() });
    else {
      const first = await own();
      pairs.push({ raw: await raw(), ours: first });
    }
  }
  await Promise.all(replays.map((replay) => replay.end()));
  return {
    what,
    parallel,
    'raw/s': round(median(pairs.map((pair) => pair.raw))),
    'broker/s': round(median(pairs.map((pair) => pair.ours))),
    ratio: round(median(pairs.map((pair) => pair.ours / pair.raw))),
  };
}

/** @param {number} count @param {number} parallel @param {(index: number, worker: number) => Promise<unknown> | undefined} work */
async function rate(count, parallel, work) {
  let next = 0;
  const begun = performance.now();
  const worker = async (/** @type {number} */ number) => {
    while (next < count) await work(next++, number);
  };
  await Promise.all(Array.from({ length: parallel }, (_, number) => worker(number)));
  return count / ((performance.now() - begun) / 1000);
}

/** @param {BenchBroker} broker @param {PlatformClient} platform @param {number} rounds */
async function measureMemory(broker, platform, rounds) {
  const before = residentMegabytes(broker.pid);
  let highest = before;
  for (let turn = 0; turn < rounds; turn += 1) {
    const instance = `memory-${turn}`;
    await platform.provision(instance);
    await platform.bind(instance, 'b');
    await platform.unbind(instance, 'b');
    await platform.deprovision(instance);
    highest = Math.max(highest, residentMegabytes(broker.pid));
  }
  await wait(rounds > 100 ? 10_000 : 0);
  const after = residentMegabytes(broker.pid);
  return {
    rounds,
    before_rounds: round(before),
    highest: round(highest),
    after_rounds: round(after),
    growth: `${Math.round((after / before - 1) * 100)}%`,
  };
}

/** Seconds from the command to ready, with everything installed and the data made. @param {number} runs */
async function measureReady(runs) {
  const folder = makeFolder('ready');
  const port = await findFreePort();
  try {
    await startOnce(folder, port);
    /** @type {number[]} */
    const seconds = [];
    for (let run = 0; run < runs; run += 1) seconds.push(await startOnce(folder, port));
    return { median: round(median(seconds)), slowest: round(Math.max(...seconds)) };
  } finally {
    removeFolder(folder);
  }
}

/** @param {string} dataDir @param {number} port */
async function startOnce(dataDir, port) {
  const begun = performance.now();
  const child = spawn('npm', ['start'], {
    cwd: PROJECT,
    env: { ...process.env, BROKER_DATA_DIR: dataDir, BROKER_PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let ready = Number.NaN;
  for await (const line of createInterface({ input: child.stdout })) {
    if (!Number.isNaN(ready) || !line.includes(`:${port}`)) continue;
    ready = (performance.now() - begun) / 1000;
    child.kill('SIGTERM');
  }
  await ended;
  return ready;
}

import { join } from 'node:path';
import { AdminClient } from './admin-client.mjs';
import { startBenchBroker } from './bench-broker.mjs';
import { asSuperuser, makeTenant, settle } from './bench-tenants.mjs';
import { median, percentile } from './figures.mjs';
import { compare, timed } from './pairs.mjs';
import { PlatformClient } from './platform-client.mjs';
import { PostgresPrograms } from './postgres-programs.mjs';
import { ReconnectingClients } from './reconnecting-clients.mjs';
import { report, sizeOf } from './report.mjs';
import { HighestMemory } from './resident-memory.mjs';
import { fillSample } from './sample-database.mjs';

/** @typedef {import('./bench-broker.mjs').BenchBroker} BenchBroker */
/** @typedef {import('./bench-tenants.mjs').Tenant} Tenant */
/** @typedef {{ broker: BenchBroker, admin: AdminClient, memory: HighestMemory }} Bench */

const FULL = { megabytes: 1000, smallMegabytes: 3, rounds: 3, restores: 2, smallRestores: 5, undos: 4, clients: 32 };
const QUICK = { megabytes: 10, smallMegabytes: 3, rounds: 1, restores: 1, smallRestores: 1, undos: 1, clients: 32 };
const JOBS = 2;

/** Restores against pg_restore, and what clients see of the swaps. @param {{ quick: boolean }} options */
export async function measureRestore({ quick }) {
  const size = quick ? QUICK : FULL;
  const more = { operations: { restore_jobs: JOBS } };
  const broker = await startBenchBroker({ maxConnections: 40, more });
  const platform = new PlatformClient(broker);
  const admin = new AdminClient(broker);
  try {
    const tenant = await makeTenant(broker, platform, 'sample', (url) => fillSample(url, size.megabytes));
    const small = await makeTenant(broker, platform, 'small', (url) => fillSample(url, size.smallMegabytes));
    for (const { instance } of [tenant, small]) await admin.backup(instance, 'local', 'kept');
    const bench = { broker, admin, memory: new HighestMemory(broker.pid) };
    const archive = join(broker.folder, 'sample.dump');
    const compared = [await compareRestores(bench, tenant, archive, size.rounds)];
    const outages = [
      ...(await measureOutages(bench, small, { ...size, restores: size.smallRestores })),
      ...(await measureOutages(bench, tenant, size)),
    ];
    const data = {
      ...{ database_bytes: tenant.bytes, small_database_bytes: small.bytes, archive_bytes: sizeOf(archive) },
      ...{ jobs: JOBS, clients: size.clients },
    };
    report('restore', { broker, quick, data, compared, outages, memory: bench.memory });
  } finally {
    admin.close();
    platform.close();
    await broker.end();
  }
}

/** @param {Bench} bench @param {Tenant} tenant @param {string} archive @param {number} rounds */
async function compareRestores({ broker, admin, memory }, { instance, database }, archive, rounds) {
  const programs = new PostgresPrograms(broker);
  await programs.dump(database, archive);
  return compare(`restore : pg_restore -j${JOBS} into an empty database, then ANALYZE`, '<= 1.05', rounds, {
    before: () => settle(broker),
    ours: () => memory.during(`restore of ${instance}`, () => timed(() => admin.restore(instance, 'kept'))),
    baseline: async () => {
      await asSuperuser(broker, 'postgres', 'CREATE DATABASE empty TEMPLATE template0');
      const ms = await timed(async () => {
        await programs.restore('empty', archive, JOBS);
        await asSuperuser(broker, 'empty', 'ANALYZE');
      });
      await asSuperuser(broker, 'postgres', 'DROP DATABASE empty');
      return ms;
    },
  });
}

/**
 * @param {Bench} bench @param {Tenant} tenant @param {{ restores: number, undos: number, clients: number }} size
 * @returns {Promise<import('./report.mjs').Outage[]>}
 */
async function measureOutages({ broker, admin, memory }, { instance, uri, bytes }, { restores, undos, clients }) {
  const applications = new ReconnectingClients(uri, clients);
  /** @type {Record<'restore' | 'undo', { seen: number[], told: number[] }>} */
  const outages = { restore: { seen: [], told: [] }, undo: { seen: [], told: [] } };
  const note = async (/** @type {'restore' | 'undo'} */ kind, /** @type {() => Promise<number>} */ work) => {
    const { seen, told } = outages[kind];
    await settle(broker);
    seen.push(
      ...(await applications.during(async () => told.push(await memory.during(`${kind} of ${instance}`, work)))),
    );
  };
  try {
    for (let turn = 0; turn < restores; turn += 1) {
      await note('restore', () => admin.restore(instance, 'kept'));
      for (let again = 0; again < undos; again += 1) await note('undo', () => admin.undo(instance));
    }
  } finally {
    await applications.end();
  }
  const size = `${Math.round(bytes / 1e6)} MB`;
  return Object.entries(outages).map(([kind, { seen, told }]) => ({
    what: `outage at ${kind} of ${size}, ${clients} clients`,
    p95_ms: Math.round(percentile(seen, 0.95)),
    goal: '<= 150',
    median_ms: Math.round(median(seen)),
    longest_ms: Math.round(Math.max(...seen)),
    told_ms: Math.round(median(told)),
    seen: `${seen.length} of ${told.length * clients}`,
  }));
}

import { join } from 'node:path';
import { run } from '../embedded/run.mjs';
import { AdminClient, CURL } from './admin-client.mjs';
import { startBenchBroker } from './bench-broker.mjs';
import { makeTenant, settle } from './bench-tenants.mjs';
import { startFileServer } from './file-server.mjs';
import { compare, timed } from './pairs.mjs';
import { PlatformClient } from './platform-client.mjs';
import { PostgresPrograms } from './postgres-programs.mjs';
import { report, sizeOf } from './report.mjs';
import { HighestMemory, residentMegabytes } from './resident-memory.mjs';
import { startS3Server } from './s3-server.mjs';
import { fillHardly, fillIncompressible, fillSample } from './sample-database.mjs';

/** @typedef {import('./bench-broker.mjs').BenchBroker} BenchBroker */
/** @typedef {import('./bench-tenants.mjs').Tenant} Tenant */
/** @typedef {{ broker: BenchBroker, admin: AdminClient, programs: PostgresPrograms, memory: HighestMemory, archive: string }} Bench */

const FULL = { megabytes: 1000, largeMegabytes: 5000, rounds: 5, transfers: 9, smalls: 40, repeated: 100 };
const QUICK = { megabytes: 10, largeMegabytes: 20, rounds: 1, transfers: 1, smalls: 2, repeated: 3 };

/** Backups, downloads and uploads against the programs that do the same. @param {{ quick: boolean, large: boolean }} options */
export async function measureBackup({ quick, large }) {
  const size = quick ? QUICK : FULL;
  const s3 = await startS3Server();
  const broker = await startBenchBroker({ maxConnections: 40, more: { storages: [s3.storage] } });
  const platform = new PlatformClient(broker);
  const admin = new AdminClient(broker);
  try {
    const tenant = await makeTenant(broker, platform, 'sample', (url) => fillSample(url, size.megabytes));
    const small = await makeTenant(broker, platform, 'small', fillHardly);
    const bench = {
      ...{ broker, admin, programs: new PostgresPrograms(broker), memory: new HighestMemory(broker.pid) },
      archive: join(broker.folder, 'sample.dump'),
    };
    const idle = residentMegabytes(broker.pid);
    const compared = [
      await compareSmall(bench, small, size.smalls),
      await compareLocal(bench, tenant, size.rounds),
      await compareS3(bench, tenant, size.rounds),
      ...(await compareTransfers(bench, tenant, size.transfers)),
    ];
    const data = { database_bytes: tenant.bytes, archive_bytes: sizeOf(bench.archive), idle_mb: Math.round(idle) };
    await repeat(bench, small, size.repeated);
    if (large) await passLarge(bench, platform, size.largeMegabytes);
    report('backup', { broker, quick, data, compared, outages: [], memory: bench.memory });
  } finally {
    admin.close();
    platform.close();
    await broker.end();
    await s3.end();
  }
}

/** @param {Bench} bench @param {Tenant} tenant @param {number} rounds */
async function compareLocal(bench, { instance, database }, rounds) {
  const { programs, archive } = bench;
  return compare('backup to local : pg_dump -Fc, then sha256sum', '<= 1.05', rounds, {
    before: () => settle(bench.broker),
    ours: () => backup(bench, instance, 'local'),
    baseline: () =>
      timed(async () => {
        await programs.dump(database, archive);
        await run('sha256sum', [archive]);
      }),
  });
}

/** @param {Bench} bench @param {Tenant} tenant @param {number} rounds */
function compareS3(bench, { instance }, rounds) {
  return compare('backup to s3 : backup to local', '<= 1.10', rounds, {
    before: () => settle(bench.broker),
    ours: () => backup(bench, instance, 's3'),
    baseline: () => backup(bench, instance, 'local'),
  });
}

/** @param {Bench} bench @param {Tenant} tenant @param {number} rounds */
async function compareSmall(bench, { instance, database }, rounds) {
  return compare('backup of a nearly empty database : pg_dump', '<= 1.5', rounds, {
    before: () => Promise.resolve(),
    ours: () => backup(bench, instance, 'local'),
    baseline: () => timed(() => bench.programs.dump(database, join(bench.broker.folder, 'small.dump'))),
  });
}

/** @param {Bench} bench @param {Tenant} tenant @param {number} rounds */
async function compareTransfers(bench, { instance }, rounds) {
  const { admin, archive, memory, programs, broker } = bench;
  const target = join(broker.folder, 'received');
  const plain = await startFileServer(archive, target);
  const before = () => settle(broker);
  const curl = (/** @type {string[]} */ ...args) =>
    timed(() => run('curl', [...CURL, ...args, '--output', '/dev/null', plain.url]));
  try {
    await admin.backup(instance, 'local', 'kept');
    const downloads = await compare('download : curl from a plain file server', '<= 1.2', rounds, {
      before,
      ours: () => memory.during('download', () => timed(() => admin.download(instance, 'kept'))),
      baseline: () => curl(),
    });
    const uploads = await compare('upload : the slower of curl to one and pg_restore -f /dev/null', '<= 1.2', rounds, {
      before,
      ours: async () => {
        const ms = await memory.during('upload', () => timed(() => admin.upload(instance, 'sent', archive)));
        await admin.remove(instance, 'sent');
        return ms;
      },
      baseline: async () =>
        Math.max(await curl('--upload-file', archive), await timed(() => programs.readThrough(archive))),
    });
    return [downloads, uploads];
  } finally {
    await plain.end();
  }
}

/** @param {Bench} bench @param {Tenant} tenant @param {number} times */
async function repeat(bench, { instance }, times) {
  await bench.memory.during(`${times} backups`, async () => {
    for (let turn = 0; turn < times; turn += 1) await bench.admin.backup(instance, 'local', `repeated-${turn}`);
  });
}

/** Memory only: backup, download, upload, restore of an archive that is larger. @param {Bench} bench @param {PlatformClient} platform @param {number} megabytes */
async function passLarge({ admin, broker, memory, programs }, platform, megabytes) {
  const { instance, database } = await makeTenant(broker, platform, 'large', (url) =>
    fillIncompressible(url, megabytes),
  );
  const archive = join(broker.folder, 'large.dump');
  await programs.dump(database, archive);
  const size = `${(sizeOf(archive) / 1e9).toFixed(1)} GB`;
  await memory.during(`backup of ${size} to local`, () => admin.backup(instance, 'local', 'l'));
  await memory.during(`backup of ${size} to s3`, () => admin.backup(instance, 's3', 's'));
  await memory.during(`download of ${size} from local`, () => admin.download(instance, 'l'));
  await memory.during(`download of ${size} from s3`, () => admin.download(instance, 's'));
  await memory.during(`upload of ${size}`, () => admin.upload(instance, 'u', archive));
  await memory.during(`restore of ${size} from s3`, () => admin.restore(instance, 's'));
}

/** Makes a backup and removes it; only the making counts. @param {Bench} bench @param {string} instance @param {string} storage */
async function backup({ admin, memory }, instance, storage) {
  const ms = await memory.during(`backup of ${instance} to ${storage}`, () =>
    timed(() => admin.backup(instance, storage, 'measured')),
  );
  await admin.remove(instance, 'measured');
  return ms;
}

import { backupPath, beginBackup, TALKATIVE, timesDumped } from '../support/backups.js';
import { type Lane, type Moment, struckTogether } from '../support/striking.js';
import { expectSwept, type Inhabitant, leaveWorld, makeWorld, settle, type World } from '../support/world.js';

let world: World;
const small: Inhabitant[] = [];
const large: Inhabitant[] = [];

beforeAll(async () => {
  world = await makeWorld({}, TALKATIVE);
  for (const n of [1, 2, 3, 4, 5, 6]) small.push(await settle(world, `small-${n}`));
  // Two parts of a multipart upload.
  for (const n of [1, 2, 3]) large.push(await settle(world, `large-${n}`, 9));
});

afterAll(() => leaveWorld(world));

let backups = 0;

function backup(inhabitant: Inhabitant, storage: 'local' | 's3', at: Moment): Lane {
  const name = `backup-${++backups}`;
  return {
    inhabitant,
    at,
    ask: () => beginBackup(world.broker, inhabitant.id, { storage, name }),
    means: () => inhabitant.backups.set(name, storage),
  };
}

/** Of a backup that the storage has. */
function deletion(inhabitant: Inhabitant, storage: 'local' | 's3', at: Moment): Lane {
  const name = [...inhabitant.backups].find(([, where]) => where === storage)?.[0] ?? '';
  return {
    inhabitant,
    at,
    ask: () => world.broker.admin.delete(backupPath(inhabitant.id, name), { headers: { prefer: 'respond-async' } }),
    means: () => inhabitant.backups.delete(name),
  };
}

/** Each moment on another inhabitant. */
function each(lane: typeof backup, storage: 'local' | 's3', among: Inhabitant[], moments: Moment[]): Lane[] {
  return among.slice(0, moments.length).map((inhabitant, n) => lane(inhabitant, storage, moments[n] as Moment));
}

async function dumpedOnce(lanes: Lane[]): Promise<void> {
  const dumps = () => lanes.map(({ inhabitant }) => timesDumped(world.cluster, 'held', inhabitant.database));
  const before = dumps();
  await struckTogether(world, lanes);
  expect(dumps()).toEqual(before.map((count) => count + 1));
}

it('kill -9 before a dump, and at the begin of an upload: the dump starts again', () =>
  struckTogether(world, [
    ...each(backup, 's3', large, [
      'after http POST .*dump[?]uploads',
      'after SET memo = .*"token":"',
      'after http PUT .*partNumber=1&',
    ]),
    ...each(backup, 'local', small, [
      'before SET phase = .*"dumping"',
      'after SET memo = .*"role":"e',
      'before CREATE ROLE',
      'after CREATE ROLE',
      'after COMMIT.* after INSERT INTO operation',
    ]),
  ]));

it('kill -9 during a dump, and within an upload', () =>
  struckTogether(world, [
    ...each(backup, 's3', large, [
      'after http PUT .*partNumber=2&',
      'before http POST .*[?]uploadId',
      'after http POST .*[?]uploadId',
    ]),
    ...each(backup, 'local', small, [
      'before pg_export_snapshot',
      'after file write .*/spool/',
      'before end of pg_dump',
      'before SET memo = .*"manifest":',
      'after SET memo = .*"manifest":',
    ]),
  ]));

it('kill -9 between dump, archive, manifest, and the end of the spool: no second dump', () =>
  dumpedOnce([
    ...each(backup, 's3', large, ['before http PUT .*json', 'after http PUT .*json', 'before file rm .*/spool/']),
    ...each(backup, 'local', small, [
      'before DROP ROLE',
      'after DROP ROLE',
      'before file rename .*dump$',
      'after file rename .*dump$',
      'before SET phase = .*"recording"',
      'after SET phase = .*"recording"',
    ]),
  ]));

it('kill -9 around the manifest and the row, and of small archives on their way: no second dump', () =>
  dumpedOnce([
    ...each(backup, 's3', large, [
      'after file rm .*/spool/',
      'before SET state = .*"succeeded"',
      'after COMMIT .*SET state = .*"succeeded"',
    ]),
    ...each(backup, 'local', small.slice(0, 4), [
      'before file rename .*json$',
      'after file rename .*json$',
      'before COMMIT .*SET state = .*"succeeded"',
      'after COMMIT .*SET state = .*"succeeded"',
    ]),
    ...each(backup, 's3', small.slice(4), ['before http PUT .*dump', 'after http PUT .*dump']),
  ]));

it('kill -9 during deletions: they come to their end', async () => {
  await struckTogether(world, [
    ...each(deletion, 's3', large, [
      'before http DELETE .*json',
      'after http DELETE .*json',
      'after http DELETE .*dump',
    ]),
    ...each(deletion, 'local', small, [
      'after COMMIT.* after INSERT INTO operation',
      'before file unlink .*json',
      'after file unlink .*json',
      'before file unlink .*dump',
      'after file unlink .*dump',
      'before COMMIT .*SET state = .*"succeeded"',
    ]),
  ]);
  await expectSwept(world);
});

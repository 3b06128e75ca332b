import { backupPath, beginBackup, makeBackup, things } from '../support/backups.js';
import { allAtTheirMoments, cancelledTogether, type Lane, type Moment } from '../support/striking.js';
import { until } from '../support/until.js';
import { foreignArchive, upload } from '../support/uploads.js';
import {
  change,
  expectWhole,
  type Inhabitant,
  leaveWorld,
  makeWorld,
  operationsOf,
  programs,
  settle,
  type World,
} from '../support/world.js';

let world: World;
let archive: Buffer;
const some: Inhabitant[] = [];
const base = new Map<Inhabitant, Inhabitant['live']>();

beforeAll(async () => {
  world = await makeWorld();
  for (const n of [0, 1, 2, 3, 4, 5, 6]) {
    // The first ones have archives of two parts.
    const inhabitant = await settle(world, `some-${n}`, n < 3 ? 9 : 0);
    expect((await makeBackup(world.broker, inhabitant.id, { name: 'base' })).status).toBe(201);
    inhabitant.backups.set('base', 'local');
    base.set(inhabitant, inhabitant.live);
    some.push(inhabitant);
  }
  archive = await foreignArchive(
    world.cluster,
    'CREATE TABLE brought AS SELECT i, md5(i::text) AS text FROM generate_series(1, 20000) i',
  );
});

afterAll(() => leaveWorld(world));

const later = { headers: { prefer: 'respond-async' } };

type Flow = (inhabitant: Inhabitant) => Pick<Lane, 'ask' | 'means'>;

const backupTo =
  (storage: 'local' | 's3'): Flow =>
  ({ id }) => ({ ask: () => beginBackup(world.broker, id, { storage, name: 'cancelled' }) });

const uploadTo =
  (storage: 'local' | 's3'): Flow =>
  ({ id }) => ({ ask: () => upload(world.broker, [id, 'cancelled'], archive, { query: { storage } }) });

const restore: Flow = (inhabitant) => ({
  ask: async () => {
    await change(world, inhabitant);
    await world.broker.admin.send('POST', `/restore_instance/${inhabitant.id}/base`, later);
  },
});

/** Where the cancel comes too late. */
const restored: Flow = (inhabitant) => ({
  ...restore(inhabitant),
  means: () => {
    inhabitant.point = inhabitant.live;
    inhabitant.live = base.get(inhabitant) ?? {};
  },
});

const undo: Flow = ({ id }) => ({ ask: () => world.broker.admin.send('POST', `/undo_restore/${id}`, later) });
const undone: Flow = (inhabitant) => ({
  ...undo(inhabitant),
  means: () => ([inhabitant.point, inhabitant.live] = [inhabitant.live, inhabitant.point ?? {}]),
});

const deletion: Flow = ({ id }) => ({ ask: () => world.broker.admin.delete(backupPath(id, 'base'), later) });

/** Once the manifest is about to go, a cancel comes too late: the rest goes too. */
const deleted: Flow = (inhabitant) => ({
  ...deletion(inhabitant),
  means: () => inhabitant.backups.delete('base'),
});

/** Each on another inhabitant. What stands in a statement comes last: it is given up first. */
function each(...flows: [Flow, Lane['end'], Moment][]): Lane[] {
  return flows.map(([flow, end = 'cancelled', at], n) => {
    const inhabitant = some[n] as Inhabitant;
    return { inhabitant, at, end, ...flow(inhabitant) };
  });
}

it.each<[string, [Flow, Lane['end'], Moment][]]>([
  [
    'before and during a dump, and during uploads to s3',
    [
      [backupTo('s3'), 'cancelled', 'after http POST .*dump[?]uploads'],
      [backupTo('s3'), 'cancelled', 'before http PUT .*partNumber=2&'],
      [backupTo('s3'), 'cancelled', 'before http POST .*[?]uploadId'],
      [backupTo('local'), 'cancelled', 'after file write .*/spool/'],
      [backupTo('local'), 'cancelled', 'before end of pg_dump'],
      [backupTo('local'), 'cancelled', 'before SET phase = .*"dumping"'],
      [backupTo('local'), 'cancelled', 'before CREATE ROLE'],
    ],
  ],
  [
    'of what is spooled',
    [
      [backupTo('local'), 'cancelled', 'after file rename .*dump$'],
      [backupTo('local'), 'cancelled', 'after file rename .*json$'],
      [backupTo('s3'), 'cancelled', 'before file rm .*/spool/'],
      [backupTo('s3'), 'cancelled', 'before http PUT .*json'],
      [backupTo('local'), 'cancelled', 'before SET memo = .*"manifest":'],
      [backupTo('local'), 'cancelled', 'after SET memo = .*"manifest":'],
      [backupTo('local'), 'cancelled', 'before SET state = .*"succeeded"'],
    ],
  ],
  [
    'of uploads',
    [
      [uploadTo('local'), 'cancelled', 'after file write .*/spool/'],
      [uploadTo('local'), 'cancelled', 'before end of pg_restore'],
      [uploadTo('local'), 'cancelled', 'after SET memo = .*"manifest":'],
      [uploadTo('local'), 'cancelled', 'after file rename .*dump$'],
      [uploadTo('s3'), 'cancelled', 'before http PUT .*dump'],
      [uploadTo('s3'), 'cancelled', 'before http PUT .*json'],
      [uploadTo('s3'), 'cancelled', 'before file rm .*/spool/'],
    ],
  ],
  [
    'of restores before the shadow is full',
    [
      [restore, 'cancelled', 'before SET phase = .*"fetching"'],
      [restore, 'cancelled', 'after SET memo = .*"shadow":'],
      [restore, 'cancelled', 'after file link '],
      [restore, 'cancelled', 'before CREATE DATABASE "?s'],
      [restore, 'cancelled', 'after CREATE DATABASE "?s'],
      [restore, 'cancelled', 'after CREATE ROLE'],
      [restore, 'cancelled', 'before 2x end of pg_restore'],
    ],
  ],
  [
    'of restores until the swap is decided; then it comes too late',
    [
      [restore, 'cancelled', 'before ANALYZE'],
      [restore, 'cancelled', 'before SET phase = .*"swapping"'],
      [restore, 'cancelled', 'before SET memo = .*"intent":{'],
      [restored, 'succeeded', 'after SET memo = .*"intent":{'],
      [restored, 'succeeded', 'before RENAME TO'],
      [restored, 'succeeded', 'after RENAME TO'],
      [restored, 'succeeded', 'before SET state = .*"succeeded"'],
    ],
  ],
  [
    'of deletions and undos',
    [
      [deletion, 'cancelled', 'before SET memo = .*"decided":true'],
      [deleted, 'succeeded', 'before file unlink .*json'],
      [deleted, 'succeeded', 'after file unlink .*json'],
      [undo, 'cancelled', 'before SET phase = .*"swapping"'],
      [undo, 'cancelled', 'before SET memo = .*"intent":{'],
      [undone, 'succeeded', 'after SET memo = .*"intent":{'],
      [undone, 'succeeded', 'after RENAME TO'],
    ],
  ],
])('a cancel %s', (_what, flows) => cancelledTogether(world, each(...flows)));

it('a deprovision cancels the backup first, while it is dumped and while its parts are stored', async () => {
  const moments: Moment[] = ['after file write .*/spool/', 'after http PUT .*partNumber=1&'];
  const lanes: Lane[] = [];
  for (const [n, at] of moments.entries()) {
    // More than pipes hold: where nothing is read, pg_dump waits.
    const inhabitant = await settle(world, `leaving-${n}`, 9);
    const meanwhile = async () => expect(await programs(world.cluster)).not.toEqual([]);
    lanes.push({ inhabitant, at, ...backupTo('s3')(inhabitant), ...(n === 0 && { meanwhile }) });
  }
  const calls = await allAtTheirMoments(world, lanes);
  const leaving = Promise.all(lanes.map(({ inhabitant }) => world.broker.platform.deprovision(inhabitant.id)));
  await until('the cancels to come', async () => {
    const rows = await Promise.all(lanes.map(({ inhabitant }) => operationsOf(world, inhabitant.id)));
    return rows.flat().filter((row) => row['kind'] === 'backup' && row['cancel_requested'] === true).length === 2;
  });
  world.broker.child.send({ release: true });
  expect((await leaving).map(({ status }) => status)).toEqual([200, 200]);
  await Promise.all(calls);
  for (const { inhabitant } of lanes) {
    const states = (await operationsOf(world, inhabitant.id)).map(
      ({ kind, state }) => `${String(kind)} ${String(state)}`,
    );
    expect(states).toEqual(['deprovision succeeded', 'backup cancelled', 'provision succeeded']);
    world.inhabitants.delete(inhabitant.id);
  }
  const { roles, objects, uploads } = await things(world.broker, { server: world.s3, name: world.bucket });
  expect([...roles, ...[...(objects ?? []), ...(uploads ?? [])].filter((key) => key.startsWith('leaving-'))]).toEqual(
    [],
  );
  await expectWhole(world, []);
});

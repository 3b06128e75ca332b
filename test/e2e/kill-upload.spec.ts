import { type Lane, type Moment, struckTogether } from '../support/striking.js';
import { foreignArchive, upload } from '../support/uploads.js';
import { expectSwept, type Inhabitant, leaveWorld, makeWorld, settle, type World } from '../support/world.js';

let world: World;
let archive: Buffer;
const some: Inhabitant[] = [];

beforeAll(async () => {
  world = await makeWorld();
  for (const n of [1, 2, 3, 4, 5, 6, 7]) some.push(await settle(world, `some-${n}`));
  archive = await foreignArchive(
    world.cluster,
    'CREATE TABLE brought AS SELECT i, md5(i::text) AS text FROM generate_series(1, 20000) i',
  );
});

afterAll(() => leaveWorld(world));

let uploads = 0;

function each(storage: 'local' | 's3', among: Inhabitant[], end: NonNullable<Lane['end']>, moments: Moment[]): Lane[] {
  return among.slice(0, moments.length).map((inhabitant, n) => {
    const name = `upload-${++uploads}`;
    return {
      inhabitant,
      at: moments[n] as Moment,
      ask: () => upload(world.broker, [inhabitant.id, name], archive, { query: { storage } }),
      end,
      means: () => void (end === 'succeeded' && inhabitant.backups.set(name, storage)),
    };
  });
}

it('kill -9 before the archive is spooled whole and checked: it fails, and nothing is left', () =>
  struckTogether(world, [
    ...each('local', some.slice(0, 6), 'failed', [
      'before SET phase = .*"receiving"',
      'after SET memo = .*"spool":"',
      'after file write .*/spool/',
      'before SET phase = .*"checking"',
      'before end of pg_restore',
      'before SET memo = .*"manifest":',
    ]),
    ...each('local', some.slice(6), 'none', ['before COMMIT.* after INSERT INTO operation']),
  ]));

it('kill -9 from then on: it is stored', () =>
  struckTogether(world, [
    ...each('local', some.slice(0, 4), 'succeeded', [
      'after SET memo = .*"manifest":',
      'before file rename .*dump$',
      'after file rename .*dump$',
      'before SET phase = .*"recording"',
    ]),
    ...each('s3', some.slice(4), 'succeeded', [
      'before http PUT .*dump',
      'after http PUT .*dump',
      'after SET memo = .*"stored":true',
    ]),
  ]));

it('kill -9 around manifest and row', async () => {
  await struckTogether(world, [
    ...each('local', some.slice(0, 4), 'succeeded', [
      'before file rename .*json$',
      'after file rename .*json$',
      'before COMMIT .*SET state = .*"succeeded"',
      'after COMMIT .*SET state = .*"succeeded"',
    ]),
    ...each('s3', some.slice(4), 'succeeded', [
      'before http PUT .*json',
      'after http PUT .*json',
      'before file rm .*/spool/',
    ]),
  ]);
  await expectSwept(world);
});

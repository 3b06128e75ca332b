import { type Lane, type Moment, struckTogether, takingTurns } from '../support/striking.js';
import { foreignArchive, upload } from '../support/uploads.js';
import {
  expectSwept,
  expectWhole,
  type Inhabitant,
  leaveWorld,
  makeWorld,
  settle,
  type World,
} from '../support/world.js';

let world: World;
let archive: Buffer;
const some: Inhabitant[] = [];

beforeAll(async () => {
  world = await makeWorld();
  for (const n of [1, 2]) some.push(await settle(world, `some-${n}`));
  archive = await foreignArchive(
    world.cluster,
    'CREATE TABLE brought AS SELECT i, md5(i::text) AS text FROM generate_series(1, 20000) i',
  );
});

afterAll(() => leaveWorld(world));

let uploads = 0;
const next = takingTurns(some);

async function struck(storage: 'local' | 's3', end: NonNullable<Lane['end']>, at: Moment): Promise<void> {
  const inhabitant = next();
  const name = `upload-${++uploads}`;
  const ask = () => upload(world.broker, [inhabitant.id, name], archive, { query: { storage } });
  const means = () => void (end === 'succeeded' && inhabitant.backups.set(name, storage));
  await struckTogether(world, [{ inhabitant, at, ask, end, means }]);
}

describe('kill -9 until the archive is spooled whole and checked: it fails, and nothing is left', () => {
  it.each<Moment>([
    'before SET phase = .*"receiving"',
    'after SET memo = .*"spool":"',
    'after file write .*/spool/',
    'before SET phase = .*"checking"',
    'before end of pg_restore',
    'before SET memo = .*"manifest":',
  ])('%s', (at) => struck('local', 'failed', at));

  it('before it has begun', () => struck('local', 'none', 'before COMMIT.* after INSERT INTO operation'));
});

describe('kill -9 from then on: it is stored', () => {
  it.each<Moment>([
    'after SET memo = .*"manifest":',
    'before file rename .*dump$',
    'after file rename .*dump$',
    'before SET phase = .*"recording"',
    'before file rename .*json$',
    'after file rename .*json$',
    'before COMMIT .*SET state = .*"succeeded"',
    'after COMMIT .*SET state = .*"succeeded"',
  ])('in local, %s', (at) => struck('local', 'succeeded', at));

  it.each<Moment>([
    'before http PUT .*dump',
    'after http PUT .*dump',
    'after SET memo = .*"stored":true',
    'before http PUT .*json',
    'after http PUT .*json',
    'before file rm .*/spool/',
  ])('in s3, %s', (at) => struck('s3', 'succeeded', at));
});

it('and after all that everything is as it must be', async () => {
  await expectWhole(world);
  await expectSwept(world);
});

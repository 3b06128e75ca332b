import { backupPath, beginBackup, TALKATIVE, timesDumped } from '../support/backups.js';
import { type Lane, type Moment, struckTogether, takingTurns } from '../support/striking.js';
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
const small: Inhabitant[] = [];
const large: Inhabitant[] = [];

beforeAll(async () => {
  world = await makeWorld({ settings: TALKATIVE });
  for (const n of [1, 2, 3]) small.push(await settle(world, `small-${n}`));
  // Two parts of a multipart upload.
  large.push(await settle(world, 'large', 9));
});

afterAll(() => leaveWorld(world));

let backups = 0;
const nextSmall = takingTurns(small);
const nextLarge = takingTurns(large);

function backup(inhabitant: Inhabitant, storage: 'local' | 's3', at: Moment): Lane {
  const name = `backup-${++backups}`;
  return {
    inhabitant,
    at,
    ask: () => beginBackup(world.broker, inhabitant.id, { storage, name }),
    means: () => inhabitant.backups.set(name, storage),
  };
}

async function dumpedOnce(lane: Lane): Promise<void> {
  const before = timesDumped(world.cluster, 'held');
  await struckTogether(world, [lane]);
  expect(timesDumped(world.cluster, 'held')).toBe(before + 1);
}

/** Of any backup that the storage has. */
function deletion(storage: 'local' | 's3', at: Moment): Lane {
  const of = ({ backups: all }: Inhabitant) => [...all].find(([, where]) => where === storage)?.[0];
  const inhabitant = [...small, ...large].find((each) => of(each) !== undefined) as Inhabitant;
  const name = of(inhabitant) ?? '';
  return {
    inhabitant,
    at,
    ask: () => world.broker.admin.delete(backupPath(inhabitant.id, name), { headers: { prefer: 'respond-async' } }),
    means: () => inhabitant.backups.delete(name),
  };
}

describe('kill -9 until the dump is spooled: it starts again', () => {
  it.each<Moment>([
    'after http POST .*dump[?]uploads',
    'after SET memo = .*"token":"',
    'after http PUT .*partNumber=1&',
    'after http PUT .*partNumber=2&',
    'before http POST .*[?]uploadId',
    'after http POST .*[?]uploadId',
  ])('to s3, %s', (at) => struckTogether(world, [backup(nextLarge(), 's3', at)]));

  it.each<Moment>([
    'after COMMIT.* after INSERT INTO operation',
    'before SET phase = .*"dumping"',
    'after SET memo = .*"role":"e',
    'before CREATE ROLE',
    'after CREATE ROLE',
    'before pg_export_snapshot',
    'after file write .*/spool/',
    'before end of pg_dump',
    'before SET memo = .*"manifest":',
  ])('to local, %s', (at) => struckTogether(world, [backup(nextSmall(), 'local', at)]));
});

describe('kill -9 from then on: no second dump', () => {
  it.each<Moment>([
    'before http PUT .*json',
    'after http PUT .*json',
    'before file rm .*/spool/',
    'after file rm .*/spool/',
    'before SET state = .*"succeeded"',
    'after COMMIT .*SET state = .*"succeeded"',
  ])('to s3, %s', (at) => dumpedOnce(backup(nextLarge(), 's3', at)));

  it.each<Moment>(['before http PUT .*dump', 'after http PUT .*dump'])('to s3 without parts, %s', (at) =>
    dumpedOnce(backup(nextSmall(), 's3', at)),
  );

  it.each<Moment>([
    'after SET memo = .*"manifest":',
    'before DROP ROLE',
    'after DROP ROLE',
    'before file rename .*dump$',
    'after file rename .*dump$',
    'before SET phase = .*"recording"',
    'after SET phase = .*"recording"',
    'before file rename .*json$',
    'after file rename .*json$',
    'before COMMIT .*SET state = .*"succeeded"',
    'after COMMIT .*SET state = .*"succeeded"',
  ])('to local, %s', (at) => dumpedOnce(backup(nextSmall(), 'local', at)));
});

describe('kill -9 during a deletion: it comes to its end', () => {
  it.each<Moment>(['before http DELETE .*json', 'after http DELETE .*json', 'after http DELETE .*dump'])(
    'from s3, %s',
    (at) => struckTogether(world, [deletion('s3', at)]),
  );

  it.each<Moment>([
    'after COMMIT.* after INSERT INTO operation',
    'before file unlink .*json',
    'after file unlink .*json',
    'before file unlink .*dump',
    'after file unlink .*dump',
    'before COMMIT .*SET state = .*"succeeded"',
  ])('from local, %s', (at) => struckTogether(world, [deletion('local', at)]));
});

it('and after all that everything is as it must be', async () => {
  await expectWhole(world);
  await expectSwept(world);
});

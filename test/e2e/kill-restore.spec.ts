import { makeBackup } from '../support/backups.js';
import { held, hold, makeHoldable, release } from '../support/holding.js';
import { type Lane, type Moment, struckTogether, takingTurns } from '../support/striking.js';
import { change, expectWhole, type Inhabitant, leaveWorld, makeWorld, settle, type World } from '../support/world.js';

let world: World;
const some: Inhabitant[] = [];
/** What the backup `base` of each holds. */
const base = new Map<Inhabitant, Inhabitant['live']>();

beforeAll(async () => {
  world = await makeWorld();
  for (const n of [0, 1, 2, 3, 4, 5]) {
    const inhabitant = await settle(world, `some-${n}`);
    const storage = n % 2 === 0 ? 's3' : 'local';
    await makeHoldable(inhabitant);
    const answer = await makeBackup(world.broker, inhabitant.id, { storage, name: 'base' });
    expect(answer.status).toBe(201);
    inhabitant.backups.set('base', storage);
    base.set(inhabitant, inhabitant.live);
    some.push(inhabitant);
  }
});

afterAll(() => leaveWorld(world));

const filling = () => held(world.cluster);

function restore(inhabitant: Inhabitant, at: Lane['at']): Lane {
  const ask = async () => {
    await change(world, inhabitant);
    if (at === filling) await hold(world.cluster);
    await world.broker.admin.send('POST', `/restore_instance/${inhabitant.id}/base`, {
      headers: { prefer: 'respond-async' },
    });
  };
  const means = () => {
    inhabitant.point = inhabitant.live;
    inhabitant.live = base.get(inhabitant) ?? {};
  };
  return { inhabitant, at, ask, means, ...(at === filling && { meanwhile: () => release(world.cluster) }) };
}

function undo(inhabitant: Inhabitant, at: Lane['at']): Lane {
  const ask = async () => {
    await change(world, inhabitant);
    await world.broker.admin.send('POST', `/undo_restore/${inhabitant.id}`, { headers: { prefer: 'respond-async' } });
  };
  const means = () => {
    [inhabitant.point, inhabitant.live] = [inhabitant.live, inhabitant.point ?? {}];
  };
  return { inhabitant, at, ask, means };
}

const next = takingTurns(some);
/** The ones whose backups are in s3, and those whose are in a folder. */
const storedIn = (storage: string) => () => {
  for (;;) {
    const inhabitant = next();
    if (inhabitant.backups.get('base') === storage) return inhabitant;
  }
};

describe('kill -9 during a restore: it is done whole after the next start', () => {
  it.each<Moment>(['after http GET .*dump', 'after file write .*/spool/'])('from s3, %s', (at) =>
    struckTogether(world, [restore(storedIn('s3')(), at)]),
  );

  it('from local, after file link', () => struckTogether(world, [restore(storedIn('local')(), 'after file link ')]));

  it('while pg_restore fills the shadow', () => struckTogether(world, [restore(next(), filling)]));

  it.each<Moment>([
    'after COMMIT.* after INSERT INTO operation',
    'before SET phase = .*"fetching"',
    'after SET memo = .*"shadow":',
    'before CREATE DATABASE "?s',
    'after CREATE DATABASE "?s',
    'after CREATE ROLE',
    'before 2x end of pg_restore',
    'before ANALYZE',
    'before SET phase = .*"swapping"',
    'before SET memo = .*"intent":{',
    'after SET memo = .*"intent":{',
    'before RENAME TO',
    'after RENAME TO',
    'before SET state = .*"succeeded"',
    'before COMMIT .*SET state = .*"succeeded"',
    'after COMMIT .*SET state = .*"succeeded"',
    'before file rm .*/spool/[^ ]*$',
    'after file rm .*/spool/[^ ]*$',
    'before DROP DATABASE IF EXISTS "?p',
    'after DROP DATABASE IF EXISTS "?p',
  ])('%s', (at) => struckTogether(world, [restore(next(), at)]));
});

it('kill -9 of many restores at once', () => {
  const moments: Moment[] = [
    'after SET memo = .*"shadow":',
    'after CREATE ROLE',
    'before ANALYZE',
    'after SET memo = .*"intent":{',
    'after RENAME TO',
    'after COMMIT .*SET state = .*"succeeded"',
  ];
  return struckTogether(
    world,
    moments.map((at) => restore(next(), at)),
  );
});

describe('kill -9 during an undo: it is done whole after the next start', () => {
  it.each<Moment>([
    'after COMMIT.* after INSERT INTO operation',
    'before SET phase = .*"swapping"',
    'before SET memo = .*"intent":{',
    'after SET memo = .*"intent":{',
    'before RENAME TO',
    'after RENAME TO',
    'before SET state = .*"succeeded"',
    'after SET state = .*"succeeded"',
    'before COMMIT .*SET state = .*"succeeded"',
    'after COMMIT .*SET state = .*"succeeded"',
  ])('%s', (at) => struckTogether(world, [undo(next(), at)]));
});

it('and after all that everything is as it must be', () => expectWhole(world));

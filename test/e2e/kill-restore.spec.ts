import { makeBackup } from '../support/backups.js';
import { sql } from '../support/sql.js';
import { type Lane, type Moment, struckTogether } from '../support/striking.js';
import { change, type Inhabitant, leaveWorld, makeWorld, settle, type World } from '../support/world.js';

let world: World;
const some: Inhabitant[] = [];
/** What the backup `base` of each holds. */
const base = new Map<Inhabitant, Inhabitant['live']>();

beforeAll(async () => {
  world = await makeWorld();
  for (const n of [0, 1, 2, 3, 4, 5]) {
    const inhabitant = await settle(world, `some-${n}`);
    const storage = n % 2 === 0 ? 's3' : 'local';
    // While the role is there, the index is never done: so pg_restore is met in the middle.
    await inhabitant.run(
      `CREATE FUNCTION held_up(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'state_holds_up') THEN
           PERFORM pg_catalog.pg_sleep(600);
         END IF; RETURN i; END $$;
       CREATE INDEX ON held (held_up(id))`,
    );
    const answer = await makeBackup(world.broker, inhabitant.id, { storage, name: 'base' });
    expect(answer.status).toBe(201);
    inhabitant.backups.set('base', storage);
    base.set(inhabitant, inhabitant.live);
  }
});

afterAll(() => leaveWorld(world));

function restore(inhabitant: Inhabitant, at: Lane['at']): Lane {
  const ask = async () => {
    await change(world, inhabitant);
    await world.broker.admin.send('POST', `/restore_instance/${inhabitant.id}/base`, {
      headers: { prefer: 'respond-async' },
    });
  };
  const means = () => {
    inhabitant.point = inhabitant.live;
    inhabitant.live = base.get(inhabitant) ?? {};
  };
  return { inhabitant, at, ask, means };
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

function each(lane: typeof restore, moments: Lane['at'][]): Lane[] {
  return some.slice(0, moments.length).map((inhabitant, n) => lane(inhabitant, moments[n] as Moment));
}

it('kill -9 before and while the archive is fetched: the restore starts again', () =>
  struckTogether(
    world,
    each(restore, [
      'after COMMIT.* after INSERT INTO operation',
      'before SET phase = .*"fetching"',
      'after http GET .*dump',
      'after SET memo = .*"shadow":',
      'after file write .*/spool/',
      'after file link ',
    ]),
  ));

it('kill -9 while the shadow is filled', async () => {
  const held = () =>
    sql(
      world.cluster.superuserUrl(),
      `SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event = 'PgSleep'`,
    ).then(({ length }) => length > 0);
  const lanes = each(restore, [
    held,
    'before CREATE DATABASE "?s',
    'after CREATE DATABASE "?s',
    'after CREATE ROLE',
    'before 2x end of pg_restore',
    'before ANALYZE',
  ]);
  await sql(world.cluster.superuserUrl(), 'CREATE ROLE state_holds_up');
  const release = () => sql(world.cluster.superuserUrl(), 'DROP ROLE IF EXISTS state_holds_up');
  await struckTogether(
    world,
    lanes.map((lane, n) => (n === 0 ? { ...lane, meanwhile: release } : lane)),
  );
});

it('kill -9 around the swap: whole or not at all, and then done', () =>
  struckTogether(
    world,
    each(restore, [
      'before SET phase = .*"swapping"',
      'before SET memo = .*"intent":{',
      'after SET memo = .*"intent":{',
      'before RENAME TO',
      'after RENAME TO',
      'before SET state = .*"succeeded"',
    ]),
  ));

it('kill -9 at the end of restores, and while the former restore points are dropped', () =>
  struckTogether(
    world,
    each(restore, [
      'before COMMIT .*SET state = .*"succeeded"',
      'after COMMIT .*SET state = .*"succeeded"',
      'before file rm .*/spool/[^ ]*$',
      'after file rm .*/spool/[^ ]*$',
      'before DROP DATABASE IF EXISTS "?p',
      'after DROP DATABASE IF EXISTS "?p',
    ]),
  ));

it('kill -9 before and during the swap of an undo', () =>
  struckTogether(
    world,
    each(undo, [
      'after COMMIT.* after INSERT INTO operation',
      'before SET phase = .*"swapping"',
      'before SET memo = .*"intent":{',
      'after SET memo = .*"intent":{',
      'before RENAME TO',
      'after RENAME TO',
    ]),
  ));

it('kill -9 at the end of an undo, which is undone', () =>
  struckTogether(
    world,
    each(undo, [
      'before SET state = .*"succeeded"',
      'after SET state = .*"succeeded"',
      'before COMMIT .*SET state = .*"succeeded"',
      'after COMMIT .*SET state = .*"succeeded"',
    ]),
  ));

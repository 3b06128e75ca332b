import { type Cluster } from './cluster.js';
import { sql } from './sql.js';
import { type Inhabitant } from './world.js';

/** Makes restores of the inhabitant's backups ones that can be met in the middle: see `held`. */
export async function makeHoldable(inhabitant: Inhabitant): Promise<void> {
  await inhabitant.run(
    `CREATE FUNCTION held_up(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
       IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'state_holds_up') THEN
         PERFORM pg_catalog.pg_sleep(600);
       END IF; RETURN i; END $$;
     CREATE INDEX ON held (held_up(id))`,
  );
}

/** From now on pg_restore never comes to its end, and nobody writes to the table. */
export async function hold(cluster: Cluster): Promise<void> {
  await sql(cluster.superuserUrl(), 'CREATE ROLE state_holds_up');
}

export async function release(cluster: Cluster): Promise<void> {
  await sql(cluster.superuserUrl(), 'DROP ROLE IF EXISTS state_holds_up');
}

/** Whether pg_restore is in the middle of its work. */
export async function held(cluster: Cluster): Promise<boolean> {
  const sleeping = `query LIKE 'CREATE INDEX%' AND wait_event = 'PgSleep'`;
  return (await sql(cluster.superuserUrl(), `SELECT FROM pg_stat_activity WHERE ${sleeping}`)).length > 0;
}

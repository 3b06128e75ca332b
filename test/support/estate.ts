import { type Cluster } from './cluster.js';
import { type Row, sql } from './sql.js';
import { until } from './until.js';

export interface Look {
  /** Databases and roles that were not there before the broker came. */
  databases: string[];
  roles: string[];
  instances: Row[];
  bindings: Row[];
  /** Operations that are queued or running. */
  active: Row[];
  /** Jobs of the queue, its own housekeeping left out: an operation that has ended has none. */
  jobs: Row[];
}

// State databases and their owners belong to the tests.
const DATABASES = `SELECT datname AS name FROM pg_database WHERE datname NOT LIKE 'state\\_%'`;
const ROLES = `SELECT rolname AS name FROM pg_roles WHERE rolname NOT LIKE 'state\\_%'`;

/** What a broker has made on its servers and in its state database. */
export class Estate {
  private constructor(
    private readonly clusters: { cluster: Cluster; before: Set<unknown> }[],
    private readonly stateUrl: string,
  ) {}

  static async of(clusters: Cluster[], stateUrl: string): Promise<Estate> {
    const known = clusters.map(async (cluster) => ({ cluster, before: new Set(await names(cluster)) }));
    return new Estate(await Promise.all(known), stateUrl);
  }

  state(text: string, values: unknown[] = []): Promise<Row[]> {
    return sql(this.stateUrl, text, values);
  }

  async look(): Promise<Look> {
    const made = async (statement: string) => {
      const lists = this.clusters.map(async ({ cluster, before }) =>
        (await sql(cluster.superuserUrl(), statement))
          .map(({ name }) => String(name))
          .filter((name) => !before.has(name)),
      );
      return (await Promise.all(lists)).flat().sort();
    };
    const [databases, roles, instances, bindings, active, jobs] = await Promise.all([
      made(DATABASES),
      made(ROLES),
      this.state('SELECT * FROM service_instance ORDER BY id'),
      this.state('SELECT * FROM service_binding ORDER BY instance_id, id'),
      this.state(`SELECT * FROM operation WHERE state IN ('queued', 'running')`),
      this.state(`SELECT * FROM pgboss.job WHERE name NOT LIKE '\\_\\_pgboss%'`),
    ]);
    return { databases, roles, instances, bindings, active, jobs };
  }

  /** Exactly what these instances and bindings (`instance/binding`) need is there, nothing is missing, nothing runs. */
  async expectExactly(instances: string[], bindings: string[] = []): Promise<void> {
    const look = await this.look();
    expect(look.instances.map(({ id }) => String(id)).sort()).toEqual([...instances].sort());
    expect(look.bindings.map((row) => `${String(row['instance_id'])}/${String(row['id'])}`).sort()).toEqual(
      [...bindings].sort(),
    );
    expect(look.instances.map(({ state }) => state)).toEqual(instances.map(() => 'ready'));
    expect(look.bindings.map(({ state }) => state)).toEqual(bindings.map(() => 'ready'));
    expect(look.instances.map(({ diverged }) => diverged)).toEqual(instances.map(() => false));
    expect(look.databases).toEqual(look.instances.map(({ database }) => String(database)).sort());
    const roles = look.instances.flatMap((row) => [row['owner_role'], row['connect_role'], row['reader_role']]);
    expect(look.roles).toEqual([...roles, ...look.bindings.map(({ role }) => role)].map(String).sort());
    expect(look.active).toEqual([]);
    expect(look.jobs).toEqual([]);
  }

  /** The same, once what still runs has come to its end. */
  async expectExactlySoon(instances: string[], bindings: string[] = []): Promise<void> {
    await until('the running work to end', async () => {
      const look = await this.look();
      return (
        look.active.length + look.jobs.length === 0 &&
        [...look.instances, ...look.bindings].every(({ state }) => state === 'ready')
      );
    });
    await this.expectExactly(instances, bindings);
  }

  /** All that could have changed, to be compared after a request that must change nothing. */
  async snapshot(): Promise<string> {
    const { databases, roles, instances, bindings, active } = await this.look();
    const operations = await this.state('SELECT id FROM operation ORDER BY id');
    return JSON.stringify({ databases, roles, instances, bindings, active, operations });
  }
}

async function names(cluster: Cluster): Promise<string[]> {
  const both = await Promise.all([DATABASES, ROLES].map((statement) => sql(cluster.superuserUrl(), statement)));
  return both.flat().map(({ name }) => String(name));
}

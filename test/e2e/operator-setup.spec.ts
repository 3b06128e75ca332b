import { startBroker } from '../support/broker.js';
import { secret } from '../support/broker-home.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { readmeBlocks } from '../support/readme.js';
import { sql } from '../support/sql.js';

let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
});

afterAll(() => cluster.remove());

/** The test cluster has roles of these names already. */
function withOwnNames(block: string): string {
  return block.replace(/\bbroker(_state)?\b/g, 'operators_broker$1');
}

function url(user: string, password: string, database: string): string {
  return `postgres://${user}:${password}@${cluster.host}:${cluster.port}/${database}`;
}

describe('the SQL that the README gives operators', () => {
  it('makes a state database and a role with which the broker provisions, binds', async () => {
    const [state = '', role = '', ...more] = readmeBlocks('Running it for real', 'sql');
    expect(more).toEqual([]);
    const passwords = { state: secret(), broker: secret() };
    for (const statement of withOwnNames(state).replace('...', passwords.state).split(';\n'))
      if (statement.trim() !== '') await sql(cluster.superuserUrl(), statement);
    await sql(cluster.superuserUrl(), withOwnNames(role).replace('...', passwords.broker));
    const broker = await startBroker({
      cluster,
      config: {
        state: { url: url('operators_broker_state', passwords.state, 'operators_broker_state') },
        servers: [{ url: url('operators_broker', passwords.broker, 'postgres') }],
      },
    });
    expect((await broker.platform.provision('mine')).status).toBe(201);
    const bound = await broker.platform.bind('mine', 'app');
    expect(bound.status).toBe(201);
    const readyz = await fetch(`${broker.url}/readyz`);
    expect(await readyz.json()).toMatchObject({ servers: [{ reachable: true, accepts_new: true }] });
  });
});

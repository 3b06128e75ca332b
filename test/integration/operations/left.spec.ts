import { randomUUID } from 'node:crypto';
import { type ArchiveRemains } from '../../../src/backup/archive-remains.js';
import { BackupJanitor } from '../../../src/backup/backup-janitor.js';
import { type BackupService } from '../../../src/backup/backup.service.js';
import { type LostOrphans } from '../../../src/backup/lost-orphans.js';
import { type LeftUploads } from '../../../src/backup/left-uploads.js';
import { LeftOperations } from '../../../src/operations/left-operations.js';
import { type Operation } from '../../../src/operations/operation.entity.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { type OperationsNode, startNode } from '../../support/operations-node.js';
import { sql } from '../../support/sql.js';
import { until } from '../../support/until.js';

let cluster: Cluster;
const nodes: OperationsNode[] = [];
const janitors: BackupJanitor[] = [];

beforeAll(async () => {
  cluster = await startCluster();
  const options = { stateUrl: cluster.stateUrl(), operations: { roles: ['api'] } };
  nodes.push(await startNode(options), await startNode(options));
});

afterEach(async () => {
  await Promise.all(janitors.splice(0).map((janitor) => janitor.stop()));
  await sql(cluster.stateUrl(), 'DELETE FROM operation');
});

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await cluster.remove();
});

/** A cancelled backup of that name, of which something is left. */
async function leave(name: string, more: Record<string, unknown> = {}): Promise<string> {
  const id = randomUUID();
  await sql(
    cluster.stateUrl(),
    `INSERT INTO operation (id, kind, instance_id, state, memo, requested_by, request_id, finished_at)
     VALUES ($1, 'backup', 'one', 'cancelled', $2, '{}', 'request', clock_timestamp())`,
    [id, { left: true, name, ...more }],
  );
  return id;
}

const nodeAt = (index: number) => nodes[index] as OperationsNode;
const leftAt = (index: number) => new LeftOperations(nodeAt(index).dataSource);

/** A broker's janitor, which removes by the given function. */
function janitorOf(index: number, remove: (operation: Operation) => Promise<Error | undefined>): BackupJanitor {
  const service = { orphans: () => Promise.resolve([]) } as unknown as BackupService;
  const uploads = { sweep: () => Promise.resolve() } as unknown as LeftUploads;
  const remains = { remove } as unknown as ArchiveRemains;
  const lost = {} as LostOrphans;
  const janitor = new BackupJanitor(nodeAt(index).operations, leftAt(index), service, remains, uploads, lost);
  janitors.push(janitor);
  return janitor;
}

it('a broker that is late in its list removes nothing by names that another one has cleared meanwhile', async () => {
  const [slow, cleared, last] = [await leave('slow'), await leave('cleared'), await leave('last')];
  const removed: [number, string][] = [];
  let goOn: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  const first = janitorOf(0, async ({ id }) => {
    removed.push([0, id]);
    if (id === slow) await held;
    return undefined;
  });
  const second = janitorOf(1, ({ id }) => {
    removed.push([1, id]);
    return Promise.resolve(undefined);
  });
  first.start();
  await until('the first one is at it', () => Promise.resolve(removed.length === 1));
  second.start();
  const isFree = async (name: string) => {
    const held = `SELECT FROM operation WHERE memo->>'name' = $1 AND memo->>'left' = 'true'`;
    return (await sql(cluster.stateUrl(), held, [name])).length === 0;
  };
  await until('the others are cleared', async () => (await isFree('cleared')) && (await isFree('last')));
  expect(await isFree('slow')).toBe(false);
  goOn();
  await until('all is cleared', () => isFree('slow'));
  await Promise.all(janitors.splice(0).map((janitor) => janitor.stop()));
  expect(removed).toEqual([
    [0, slow],
    [1, cleared],
    [1, last],
  ]);
});

it('a claim that is over clears nothing, as another broker is at it by then', async () => {
  const id = await leave('weekly');
  const [one, other] = [leftAt(0), leftAt(1)];
  const [operation] = await one.due();
  const late = await one.claim(operation as Operation);
  expect(await other.claim(operation as Operation)).toBeUndefined();
  expect(await other.due()).toEqual([]);
  const past = `memo || '{"left_until": "2000-01-01T00:00:00Z"}'`;
  await sql(cluster.stateUrl(), `UPDATE operation SET memo = ${past} WHERE id = $1`, [id]);
  const taken = await other.claim(operation as Operation);
  await one.cleared(late as Operation);
  await one.givenUp(late as Operation);
  const leftNow = () =>
    sql(cluster.stateUrl(), `SELECT memo->>'left' AS "left", memo->>'left_until' AS until FROM operation`);
  expect(await leftNow()).toEqual([{ left: 'true', until: taken?.memo.left_until }]);
  await other.cleared(taken as Operation);
  expect(await leftNow()).toEqual([{ left: 'false', until: null }]);
  expect(await one.claim(operation as Operation)).toBeUndefined();
});

it('what can never be removed does not keep the rest from its turn', async () => {
  for (let n = 0; n < 120; n++) await leave(`never-${n}`);
  const wanted = await leave('possible');
  const left = leftAt(0);
  for (let round = 0; round < 2; round++)
    for (const operation of await left.due()) {
      const claimed = (await left.claim(operation)) as Operation;
      if (operation.id === wanted) await left.cleared(claimed);
      else await left.givenUp(claimed);
    }
  expect((await sql(cluster.stateUrl(), `SELECT memo FROM operation WHERE id = $1`, [wanted]))[0]).toMatchObject({
    memo: { left: false },
  });
});

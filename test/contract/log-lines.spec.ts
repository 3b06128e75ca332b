import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { later } from '../support/platform.js';
import { until } from '../support/until.js';

const IDS = Array.from({ length: 8 }, (_, n) => `i-${n}`);
const ACCESS_FIELDS = ['method', 'path', 'status', 'ms', 'address', 'realm', 'user', 'query'];

let cluster: Cluster;
let broker: SpawnedBroker;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster });
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

function lines(): Json[] {
  return broker.log.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Json);
}

const isAccess = ({ status }: Json) => status !== undefined;

async function operations(): Promise<Json[]> {
  return (await broker.admin.get('/operations')).body['operations'] as Json[];
}

describe('the lines of several provisions at once', () => {
  let made: Json[];
  beforeAll(async () => {
    await Promise.all(IDS.map((id, n) => broker.platform.provision(id, {}, n % 2 === 0 ? {} : later)));
    for (const id of IDS.filter((_, n) => n % 2 === 1)) await broker.platform.ended(id);
    made = await operations();
    await until('all lines', () => Promise.resolve(IDS.every((id) => accessOf(id).length === 1)));
  });

  const accessOf = (id: string) =>
    lines().filter((line) => isAccess(line) && line['method'] === 'PUT' && String(line['path']).endsWith(`/${id}`));

  it("carry an operation's own ids, and nothing of a request", () => {
    for (const { id, instance_id, request_id } of made) {
      const own = lines().filter(({ msg }) => String(msg).includes(`${String(id)}, attempt 1, succeeded`));
      expect(own).toEqual([expect.objectContaining({ operation_id: id, kind: 'provision', instance_id, request_id })]);
      for (const field of ACCESS_FIELDS) expect(own[0]).not.toHaveProperty(field);
    }
  });

  it('are one for each request, with its own id and without a context or an operation', () => {
    for (const { instance_id, request_id } of made) {
      const [line] = accessOf(String(instance_id));
      expect(line).toMatchObject({ request_id, method: 'PUT' });
      for (const field of ['context', 'operation_id', 'kind', 'instance_id', 'err', 'stack'])
        expect(line).not.toHaveProperty(field);
    }
    const requests = lines().filter(isAccess);
    expect(new Set(requests.map((line) => line['request_id'])).size).toBe(requests.length);
  });
});

it('keeps the fields of an error to its own line', async () => {
  await broker.home.estate.state('ALTER TABLE service_binding RENAME COLUMN access TO access_gone');
  const answer = await broker.platform.bind('i-0', 'b');
  await broker.home.estate.state('ALTER TABLE service_binding RENAME COLUMN access_gone TO access');
  expect(answer.status).toBe(500);
  const id = answer.headers['x-request-id'];
  const own = () => lines().filter((line) => line['request_id'] === id);
  await until('the access line', () => Promise.resolve(own().some(isAccess)));
  expect(own().filter(({ err }) => err !== undefined)).toHaveLength(1);
  for (const field of ['err', 'stack']) expect(own().find(isAccess)).not.toHaveProperty(field);
});

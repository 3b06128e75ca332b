import { type OperationContext, type OperationHandler } from '../../../src/operations/operation-handler.js';
import { type Operation } from '../../../src/operations/operation.entity.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { type OperationsNode, startNode } from '../../support/operations-node.js';
import { until } from '../../support/until.js';

/** Of the file that imports this: one that asks, and those that work, which end with their test. */
let cluster: Cluster;
export let asker: OperationsNode;
const nodes: OperationsNode[] = [];
let instances = 0;

beforeAll(async () => {
  cluster = await startCluster();
  asker = await startNode({ stateUrl: cluster.stateUrl(), operations: { roles: ['api'] } });
});

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
});

afterAll(async () => {
  await asker.stop();
  await cluster.remove();
});

export async function worker(handler: Partial<OperationHandler>, node?: string, parallel = 1): Promise<OperationsNode> {
  const run = () => Promise.resolve({});
  const started = await startNode({
    stateUrl: cluster.stateUrl(),
    operations: { parallel, grace: '1ms' },
    handlers: [{ kind: 'backup', run, ...handler }],
    ...(node === undefined ? {} : { node }),
  });
  nodes.push(started);
  return started;
}

export const newInstance = () => `instance ${++instances}`;

export function begin(): Promise<Operation> {
  const instanceId = newInstance();
  return asker.operations.begin({ kind: 'backup', instanceId, requestedBy: { realm: 'broker' }, requestId: 'r' });
}

export function seen(id: string, wanted: (operation: Operation) => boolean): Promise<Operation> {
  return until('the operation to be as wanted', async () => {
    const operation = await asker.operations.find(id);
    return wanted(operation) && operation;
  });
}

/** Resolves when the attempt is asked to end. */
export function stopped({ signal }: OperationContext): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

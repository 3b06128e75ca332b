import { once } from 'node:events';
import { type OperationHandler } from '../../src/operations/operation-handler.js';
import { type OperationKind } from '../../src/operations/operation.entity.js';
import { startNode } from './operations-node.js';

interface Asked {
  stateUrl: string;
  node: string;
  kind: OperationKind;
}

// A broker's operations in a process that a test can kill or pause. It says `ready`, then `running` for its operation,
// which goes on at the first message; then `rejected` or `written` for the write that comes next.
const { kind, ...rest } = JSON.parse(process.argv[2] ?? '{}') as Asked;
const handler: OperationHandler = {
  kind,
  run: async ({ phase }) => {
    await phase('begun');
    process.send?.('running');
    await once(process, 'message');
    const said = await phase('went on').then(
      () => 'written',
      () => 'rejected',
    );
    process.send?.(said);
    return { conclude: (manager) => manager.query(`UPDATE operation SET result = '{"by": "the child"}'`) };
  },
};
process.on('disconnect', () => process.exit(1));
await startNode({ ...rest, handlers: [handler] });
process.send?.('ready');

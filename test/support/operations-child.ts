import { once } from 'node:events';
import { type OperationHandler } from '../../src/operations/operation-handler.js';
import { startNode } from './operations-node.js';

// A broker's operations in a process that a test can kill or pause. It says `ready`, then `running` for its operation,
// which goes on at the first message; then `rejected` or `written` for the write that comes next.
const handler: OperationHandler = {
  kind: 'provision',
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
const { stateUrl, node } = JSON.parse(process.argv[2] ?? '{}') as { stateUrl: string; node: string };
process.on('disconnect', () => process.exit(1));
await startNode({ stateUrl, node, handlers: [handler] });
process.send?.('ready');

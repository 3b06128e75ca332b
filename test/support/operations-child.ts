import { type OperationHandler } from '../../src/operations/operation-handler.js';
import { startNode } from './operations-node.js';

// A broker's operations in a process that a test can kill: says `ready`, then `running <id>` for each operation, which never ends.
const handler: OperationHandler = {
  kind: 'provision',
  run: async ({ operation, phase }) => {
    await phase('begun');
    process.send?.(`running ${operation.id}`);
    return new Promise(() => undefined);
  },
};
const { stateUrl, node } = JSON.parse(process.argv[2] ?? '{}') as { stateUrl: string; node: string };
process.on('disconnect', () => process.exit(1));
await startNode({ stateUrl, node, handlers: [handler] });
process.send?.('ready');

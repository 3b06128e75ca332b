import { type BrokerConfig } from '../config/schema.js';
import { type Operation, type OperationState } from '../operations/operation.entity.js';
import { type OperationsService } from '../operations/operations.service.js';
import { type Ask } from './ask.js';
import { OperationWait } from './operation-wait.js';

const operation = { id: 'o', kind: 'provision', state: 'running' } as unknown as Operation;

/** Operations that stay as they are, however long they are waited for. */
function waiting(state: OperationState = 'running', isStopping = false) {
  const waits: number[] = [];
  const operations = {
    isStopping,
    cancel: () => Promise.resolve(operation),
    settled: (_id: string, ms: number) => {
      waits.push(ms);
      return Promise.resolve({ ...operation, state });
    },
  };
  const config = { http: { sync_wait: 50_000 } } as unknown as BrokerConfig;
  return { waits, wait: new OperationWait(operations as unknown as OperationsService, config) };
}

const ask = (leftMs: number, acceptsIncomplete = false) =>
  ({ acceptsIncomplete, until: performance.now() + leftMs }) as Ask;

describe('a call that waits for its operation', () => {
  it('waits no longer than the waits before have left of its time', async () => {
    const { waits, wait } = waiting();
    expect(await wait.own(operation, ask(1000, true))).toMatchObject({ done: false });
    await wait.halted(operation, ask(1000));
    await expect(wait.joined(operation, ask(1000))).rejects.toMatchObject({ code: 'concurrency' });
    expect(await wait.own(operation, ask(-1000, true))).toMatchObject({ done: false });
    for (const ms of waits) expect(ms).toBeLessThanOrEqual(1000);
    expect(waits.at(-1)).toBe(0);
  });

  it('waits for a quick answer where more time is left', async () => {
    const { waits, wait } = waiting('succeeded');
    expect(await wait.own(operation, ask(55_000, true))).toMatchObject({ done: true });
    expect(waits).toEqual([50_000]);
  });

  it('takes the work back where no 202 is taken, and says why', async () => {
    await expect(waiting().wait.own(operation, ask(0))).rejects.toMatchObject({ code: 'timed_out' });
    await expect(waiting('running', true).wait.own(operation, ask(0))).rejects.toMatchObject({ code: 'stopping' });
  });
});

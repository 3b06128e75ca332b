import { BrokerError } from '../errors.js';
import { operationError } from './operation-error.js';

it('keeps every member of an error', () => {
  const details = { errors: ['first', 'second'], node: 'n', missing_bytes: 5, update_repeatable: false };
  const error = new BrokerError('restore_failed', 'the first error', { details, cause: new Error('hidden') });
  expect(operationError(error)).toEqual({ ...details, code: 'restore_failed', detail: 'the first error' });
});

it('keeps code and text whatever the members are called', () => {
  const error = new BrokerError('conflict', 'why', { details: { code: 'x', detail: 'y' } });
  expect(operationError(error)).toEqual({ code: 'conflict', detail: 'why' });
});

it('bounds what is kept, and says how much more there was', () => {
  const errors = Array.from({ length: 10_000 }, (_, i) => `${i} `.padEnd(1000, 'x'));
  const kept = operationError(new BrokerError('restore_failed', 'many', { details: { errors } }));
  expect(JSON.stringify(kept).length).toBeLessThan(300 * 1024);
  const named = kept['errors'] as string[];
  expect(named.length).toBeGreaterThan(200);
  expect(named.slice(0, -1)).toEqual(errors.slice(0, named.length - 1));
  expect(named.at(-1)).toBe(`and ${10_000 - named.length + 1} more`);
});

import { type DataSource } from 'typeorm';
import { type BrokerConfig } from '../config/schema.js';
import { StateDatabase } from './state-database.js';

it('however many ask whether it answers, one query at a time finds out, and a failure is not kept', async () => {
  const answers = [Promise.reject(new Error('away')), Promise.resolve([])];
  let asked = 0;
  const query = () => answers[asked++] ?? Promise.reject(new Error('asked again'));
  const database = new StateDatabase({ query } as unknown as DataSource, {} as BrokerConfig);
  const hundred = () => Promise.allSettled(Array.from({ length: 100 }, () => database.ping()));
  expect((await hundred()).every(({ status }) => status === 'rejected')).toBe(true);
  expect(asked).toBe(1);
  expect((await hundred()).every(({ status }) => status === 'fulfilled')).toBe(true);
  await database.ping();
  expect(asked).toBe(2);
});

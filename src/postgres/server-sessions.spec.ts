import { type Connector } from './connector.js';
import { ServerSessions } from './server-sessions.js';
import { type Session } from './session.js';

const session = { reusable: true, onClosed: () => undefined, close: () => Promise.resolve() } as unknown as Session;
const away = () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));

/** One that waits for the only place while another connection fails. */
function waiting(own: () => Promise<Session>, failing: 'own' | 'other') {
  const connector = { target: { database: 'postgres' }, open: own } as unknown as Connector;
  const other = { target: { database: 'postgres' }, open: away } as unknown as Connector;
  const sessions = new ServerSessions('blue', connector, 1);
  const first = sessions.inDatabase('d', undefined, () => Promise.resolve(), failing === 'own' ? connector : other);
  const second = sessions.inDatabase('d', undefined, () => Promise.resolve('done'));
  return Promise.allSettled([first, second]);
}

it('a superuser’s login that leads nowhere fails nobody else’s work', async () => {
  const [first, second] = await waiting(() => Promise.resolve(session), 'other');
  expect(first.status).toBe('rejected');
  expect(second).toEqual({ status: 'fulfilled', value: 'done' });
});

it('a server that refuses the broker’s own login tells all who wait at once', async () => {
  let opened = 0;
  const [, second] = await waiting(() => (opened++ === 0 ? away() : Promise.resolve(session)), 'own');
  expect(second.status).toBe('rejected');
  expect(opened).toBe(1);
});

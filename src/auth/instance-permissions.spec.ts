import { BrokerError } from '../errors.js';
import { type ControllerAnswer, type ControllerClient } from './controller-client.js';
import { InstancePermissions } from './instance-permissions.js';

const ONE = '11111111-2222-4333-8444-555555555555';
const TWO = '11111111-2222-4333-8444-666666666666';

/** A controller whose answers and a clock whose time a test sets. */
class Bench extends InstancePermissions {
  readonly asked: string[] = [];
  time = 0;
  answer: (url: string) => ControllerAnswer | Promise<ControllerAnswer> = () => says({ read: true, manage: true });

  static make(): Bench {
    const made: Bench = new Bench({
      url: 'https://api.example.org',
      get: async (url: string) => {
        made.asked.push(url.replace('https://api.example.org/v3/service_instances/', ''));
        return made.answer(url);
      },
    } as unknown as ControllerClient);
    return made;
  }

  protected override now(): number {
    return this.time;
  }
}

function says(body: unknown, status = 200): ControllerAnswer {
  return { status, text: typeof body === 'string' ? body : JSON.stringify(body) };
}

const NONE = { read: false, manage: false };
const ALL = { read: true, manage: true };

let bench: Bench;
beforeEach(() => (bench = Bench.make()));

it('relies on an answer for 10 s from when it was asked for', async () => {
  let answered: () => void = () => undefined;
  bench.answer = () => new Promise((resolve) => (answered = () => resolve(says(ALL))));
  const first = bench.of('t', ONE);
  await Promise.resolve();
  bench.time = 4_000;
  answered();
  await first;
  bench.answer = () => says(NONE);
  bench.time = 9_999;
  expect(await bench.of('t', ONE)).toEqual(ALL);
  bench.time = 10_000;
  expect(await bench.of('t', ONE)).toEqual(NONE);
});

it('asks once for those who ask at once, and anew for another token or instance', async () => {
  await Promise.all([bench.of('t', ONE), bench.of('t', ONE)]);
  expect(bench.asked).toEqual([`${ONE}/permissions`]);
  await Promise.all([bench.of('u', ONE), bench.of('t', TWO)]);
  expect(bench.asked).toHaveLength(3);
});

it('relies on no refusal and no failure', async () => {
  const answers = [says(NONE), says({ errors: [{ code: 10010 }] }, 404), says('', 500), says(ALL)];
  bench.answer = () => answers.shift() ?? says(NONE);
  expect(await bench.of('t', ONE)).toEqual(NONE);
  expect(await bench.of('t', ONE)).toEqual(NONE);
  await expect(bench.of('t', ONE)).rejects.toMatchObject({ code: 'controller_unreachable' });
  expect(await bench.of('t', ONE)).toEqual(ALL);
});

it('holds 10,000 answers at most; the oldest gives way', async () => {
  await bench.of('first', ONE);
  for (let n = 0; n < 10_000; n++) await bench.of(`t${n}`, ONE);
  expect(bench.size).toBe(10_000);
  const before = bench.asked.length;
  await bench.of('t9999', ONE);
  expect(bench.asked.length).toBe(before);
  await bench.of('first', ONE);
  expect(bench.asked.length).toBe(before + 1);
});

it.each([
  ONE.toUpperCase().replaceAll('1', 'A'),
  `${ONE} `,
  ` ${ONE}`,
  `${ONE}\n`,
  `${ONE}/../${TWO}`,
  `..`,
  '',
  'my-db',
  `{${ONE}}`,
])('asks for no id that is not a guid as the controller writes it: %j', async (id) => {
  expect(await bench.of('t', id)).toEqual(NONE);
  expect(bench.asked).toEqual([]);
});

it.each<[string, ControllerAnswer]>([
  ['no JSON', says('yes')],
  ['nothing', says('')],
  ['null', says('null')],
  ['a list', says([ALL])],
  ['texts', says({ read: 'true', manage: 'true' })],
  ['numbers', says({ read: 1, manage: 1 })],
  ['one of both', says({ manage: true })],
  ['manage without read', says({ read: false, manage: true })],
  ['another status with a good body', says(ALL, 201)],
  ['a redirect with a good body', says(ALL, 302)],
  ['an error', says({ errors: [] }, 500)],
  ['too many requests', says({ errors: [{ code: 10013 }] }, 429)],
  ["a router's 404", says('404 Not Found: Requested route does not exist.', 404)],
  ['a 403 of something else', says('<html>blocked</html>', 403)],
  ['a 404 of something else', says({ errors: [{ code: 10000 }] }, 404)],
])('lets nobody in, and says why, where the controller says %s', async (_what, answer) => {
  bench.answer = () => answer;
  await expect(bench.of('t', ONE)).rejects.toMatchObject({ code: 'controller_unreachable', retryAfter: 5 });
});

it('takes the refusal of a token for one', async () => {
  bench.answer = () => says({ errors: [{ code: 1000 }] }, 401);
  const refusal = await bench.of('t', ONE).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(BrokerError);
  expect(refusal).toMatchObject({ code: 'unauthenticated', challenges: [/^Basic/, /^Bearer/].map(matching) });
});

it.each([10003, 10007])('says that the token has not the rights to ask where the controller does: %i', async (code) => {
  bench.answer = () => says({ errors: [{ code }] }, 403);
  await expect(bench.of('t', ONE)).rejects.toMatchObject({ code: 'forbidden' });
});

function matching(pattern: RegExp): unknown {
  return expect.stringMatching(pattern);
}

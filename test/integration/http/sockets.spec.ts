import { once } from 'node:events';
import { connect } from 'node:net';
import { basic } from '../../support/client.js';
import { until } from '../../support/until.js';
import { PASSWORDS, slow, type SmallApp, startSmallApp } from './small-app.js';

let small: SmallApp;
beforeAll(async () => {
  small = await startSmallApp({ trusted_proxies: ['127.0.0.1', '10.0.0.0/8'] });
});
afterAll(() => small.app.close());

/** Writes bytes and reads until the other side closes. */
async function exchange(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(small.url).port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

function problemOf(answer: string): unknown {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
}

it('answers a flood of headers with 431', async () => {
  const flood = Array.from({ length: 2000 }, (_, index) => `x-${index}: ${'y'.repeat(50)}\r\n`).join('');
  const answer = await exchange(`GET /v2/catalog HTTP/1.1\r\nhost: x\r\n${flood}\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  expect(answer).toMatch(/content-type: application\/problem\+json/);
  expect(problemOf(answer)).toMatchObject({
    code: 'headers_too_large',
    status: 431,
    request_id: expect.any(String) as string,
  });
});

it.each([
  'nonsense\r\n\r\n',
  'GET / HTTP/9.9\r\n\r\n',
  'FETCH / HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /\r\nbad header\r\n\r\n',
])('answers what is no HTTP (%p) with 400', async (bytes) => {
  const answer = await exchange(bytes);
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(problemOf(answer)).toMatchObject({ code: 'invalid_request', status: 400 });
});

it('keeps a connection for further requests', async () => {
  const one = 'GET /open HTTP/1.1\r\nhost: x\r\n\r\n';
  const last = 'GET /open HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
  expect((await exchange(one + one + last)).match(/HTTP\/1\.1 200/g)).toHaveLength(3);
});

describe('a call that is answered before its body has come', () => {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  /** Long waits, which are over when the test says so. */
  const waits = new Map<NodeJS.Timeout, () => void>();
  const held = (work: () => void, ms = 0) => {
    const timer = real.setTimeout(work, ms);
    if (ms < 5_000) return timer;
    real.clearTimeout(timer);
    waits.set(timer, work);
    return timer;
  };
  const cleared = (timer: NodeJS.Timeout) => {
    waits.delete(timer);
    real.clearTimeout(timer);
  };
  const waitsAreOver = () => {
    for (const work of waits.values()) work();
  };
  beforeEach(() => void Object.assign(globalThis, { setTimeout: held, clearTimeout: cleared }));
  afterEach(() => void Object.assign(globalThis, real));

  async function refused() {
    const socket = connect(Number(new URL(small.url).port), '127.0.0.1');
    const said = { text: '' };
    const closed = once(socket, 'close');
    socket.setEncoding('utf8').on('data', (chunk: string) => (said.text += chunk));
    socket.on('error', () => undefined);
    const authorization = basic({ username: 'admin', password: PASSWORDS.admin[0] ?? '' });
    const head = `host: x\r\nauthorization: ${authorization}\r\n`;
    socket.write(`PUT /streams/1 HTTP/1.1\r\n${head}content-length: 10\r\n\r\nhalf `);
    await until('the answer', () => said.text.startsWith('HTTP/1.1 404 '));
    return { socket, said, head, closed };
  }

  it('leaves the connection to further ones once the body has come, however long they take', async () => {
    const { socket, said, head, closed } = await refused();
    socket.write(`wholeGET /slow HTTP/1.1\r\n${head}connection: close\r\n\r\n`);
    await until('the next call', () => slow.length > 0);
    waitsAreOver();
    for (const release of slow.splice(0)) release();
    await closed;
    expect(said.text).toMatch(/HTTP\/1\.1 200 [\s\S]*\{"slow":true\}$/);
  });

  it('loses its connection when the body does not come', async () => {
    const { said, closed } = await refused();
    await until('the wait for the body', () => waits.size > 0);
    waitsAreOver();
    await closed;
    expect(said.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

it('believes a trusted proxy about where a call comes from', async () => {
  const through = (forwarded: string) => small.admin.get('/things/1', { headers: { 'x-forwarded-for': forwarded } });
  expect((await through('203.0.113.9')).body['address']).toBe('203.0.113.9');
  expect((await through('198.51.100.1, 203.0.113.9, 10.1.2.3')).body['address']).toBe('203.0.113.9');
});

it('believes nobody else', async () => {
  const strict = await startSmallApp();
  try {
    const answer = await strict.admin.get('/things/1', { headers: { 'x-forwarded-for': '203.0.113.9' } });
    expect(answer.body['address']).toBe('127.0.0.1');
  } finally {
    await strict.app.close();
  }
});

it.each(['*', '//open', 'http://x/nothing', '/%2e%2e/open', '/open/', '/open;x=1', '/\\open'])(
  'knows nothing at the target %s',
  async (target) => {
    const answer = await exchange(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    expect(answer).toMatch(/\r\nx-request-id: /);
  },
);

it('judges the absolute form of a target as the path in it', async () => {
  const credentials = Buffer.from(`platform:${PASSWORDS.platform[0]}`).toString('base64');
  const head = `host: x\r\nauthorization: Basic ${credentials}\r\nconnection: close\r\n\r\n`;
  const answer = await exchange(`GET http://x/v2/catalog HTTP/1.1\r\n${head}`);
  expect(answer).toMatch(/^HTTP\/1\.1 412 /);
  expect(problemOf(answer)).toEqual({ description: expect.stringContaining('x-broker-api-version') as string });
});

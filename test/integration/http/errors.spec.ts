import { basic } from '../../support/client.js';
import { until } from '../../support/until.js';
import { type SmallApp, PASSWORDS, draw, slow, startSmallApp } from './small-app.js';

let small: SmallApp;
beforeAll(async () => {
  small = await startSmallApp();
});
afterAll(() => small.app.close());

describe('errors within /v2', () => {
  it.each([
    ['invalid_request', 400, undefined],
    ['unknown_instance', 404, undefined],
    ['conflict', 409, undefined],
    ['api_version', 412, undefined],
    ['concurrency', 422, 'ConcurrencyError'],
    ['operation_in_progress', 422, 'ConcurrencyError'],
    ['maintenance_info_conflict', 422, 'MaintenanceInfoConflict'],
    ['server_unreachable', 503, undefined],
    ['server_full', 507, undefined],
  ])('%s is %s %s', async (code, status, error) => {
    const answer = await small.platform.get(`/v2/errors/${code}`);
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual({ ...(error ? { error } : {}), description: `met ${code}`, instance_usable: false });
    expect(answer.headers['content-type']).toMatch(/^application\/json/);
    expect(answer.headers['retry-after']).toBe('7');
  });

  it('gone is an empty object', async () => {
    expect(await small.platform.get('/v2/errors/gone')).toMatchObject({ status: 410, text: '{}' });
  });
});

describe('errors outside /v2', () => {
  it('are problem+json with the code and the request id', async () => {
    const answer = await small.admin.get('/errors/operation_in_progress', { headers: { 'x-request-id': 'r-7' } });
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.body).toEqual({
      type: 'about:blank',
      title: 'Conflict',
      status: 409,
      code: 'operation_in_progress',
      detail: 'met operation_in_progress',
      request_id: 'r-7',
      operation_id: 'o',
    });
  });
});

describe('an error that nobody foresaw', () => {
  it.each(['/v2/errors/unexpected', '/errors/unexpected'])(
    'at %s is a fixed text with the request id',
    async (path) => {
      const client = path.startsWith('/v2') ? small.platform : small.admin;
      const answer = await client.get(path, { headers: { 'x-request-id': 'r-500' } });
      expect(answer.status).toBe(500);
      expect(answer.text).toContain('the broker met an error that it did not expect; its log has more under r-500');
      expect(answer.text).not.toMatch(/SELECT|\.ts|node_modules/);
      const line = small.log.find((each) => each['msg'] === 'unexpected error' && each['request_id'] === 'r-500');
      expect(line).toMatchObject({ level: 'error', err: { message: 'SELECT secret FROM somewhere failed' } });
      expect(JSON.stringify(line)).toContain('small-app');
    },
  );
});

describe('the log', () => {
  it('has one line for each request, with who asked', async () => {
    const identity = Buffer.from('{"user_id":"u-9"}').toString('base64');
    await small.platform.send('PUT', '/v2/service_instances/i-9?accepts_incomplete=true&token=abc', {
      body: { service_id: draw() },
      headers: {
        'x-request-id': 'r-9',
        'x-broker-api-request-identity': 'ri-9',
        'x-broker-api-originating-identity': `cloudfoundry ${identity}`,
      },
    });
    const lines = small.log.filter((each) => each['request_id'] === 'r-9');
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.any(String) as string,
        request_id: 'r-9',
        method: 'PUT',
        path: '/v2/service_instances/i-9',
        query: { accepts_incomplete: 'true' },
        status: 201,
        ms: expect.any(Number) as number,
        address: '127.0.0.1',
        realm: 'platform',
        user: 'platform',
        originating: { platform: 'cloudfoundry', user: 'u-9' },
        api_request_identity: 'ri-9',
        msg: expect.stringMatching(/^PUT \/v2\/service_instances\/i-9 201 \d+ ms$/) as string,
      },
    ]);
  });

  it('holds no secret: no credential, right or wrong, nothing of bodies, cookies and queries', async () => {
    const secrets = Array.from({ length: 6 }, draw) as [string, string, string, string, string, string];
    const [wrong, cookie, inBody, inQuery, bearer, user] = secrets;
    await small.platform.as({ username: user, password: wrong }).get('/v2/catalog');
    await small.platform.get(`/v2/catalog?password=${inQuery}`, { headers: { cookie: `c=${cookie}` } });
    await small.platform.send('PUT', '/v2/service_instances/x', { body: { note: [inBody] } });
    await small.admin.as(undefined).get('/things/1', { headers: { authorization: `Bearer ${bearer}` } });
    const all = JSON.stringify(small.log);
    for (const secret of [...secrets, ...PASSWORDS.platform, ...PASSWORDS.admin]) expect(all).not.toContain(secret);
  });
});

describe('the life of the broker', () => {
  it('is 503 starting, then ready, then 503 stopping, after the credentials were checked', async () => {
    const other = await startSmallApp();
    try {
      Object.defineProperty(other.lifecycle, 'state', { value: 'starting', configurable: true });
      const starting = await other.platform.get('/v2/catalog');
      expect(starting).toMatchObject({ status: 503, body: { description: 'the broker is starting' } });
      expect(starting.headers['retry-after']).toBe('1');
      expect((await other.platform.as(undefined).get('/v2/catalog')).status).toBe(401);
      expect((await other.admin.get('/open')).status).toBe(200);
      Reflect.deleteProperty(other.lifecycle, 'state');
      expect((await other.platform.get('/v2/catalog')).status).toBe(200);
      other.lifecycle.markStopping();
      const stopping = await other.admin.get('/things/1');
      expect(stopping).toMatchObject({ status: 503, body: { code: 'stopping' } });
      expect(stopping.headers['connection']).toBe('close');
      expect(other.lifecycle.stopping.aborted).toBe(true);
      expect(await other.lifecycle.drained(1_000)).toBe(true);
    } finally {
      await other.app.close();
    }
  });

  it('lets the calls that are running come to their end', async () => {
    const other = await startSmallApp();
    try {
      const call = other.admin.get('/slow');
      await until('the call is running', () => slow.length > 0);
      other.lifecycle.markStopping();
      expect(await other.lifecycle.drained(50)).toBe(false);
      const drained = other.lifecycle.drained(60_000);
      slow.splice(0).forEach((release) => release());
      expect(await call).toMatchObject({ status: 200, body: { slow: true } });
      expect(await drained).toBe(true);
    } finally {
      await other.app.close();
    }
  });

  it('logs a caller that went away as 499', async () => {
    const calls = new AbortController();
    const call = fetch(`${small.url}/slow`, {
      headers: {
        authorization: basic({ username: 'admin', password: PASSWORDS.admin[0] ?? '' }),
        'x-request-id': 'r-499',
      },
      signal: calls.signal,
    });
    await until('the call is running', () => slow.length > 0);
    calls.abort();
    await expect(call).rejects.toThrow();
    const line = await until('its line', () => small.log.find((each) => each['request_id'] === 'r-499'));
    expect(line).toMatchObject({ status: 499, path: '/slow', user: 'admin' });
    slow.splice(0).forEach((release) => release());
  });
});

import { until } from '../../support/until.js';
import { type SmallApp, startSmallApp } from './small-app.js';

let small: SmallApp;
beforeAll(async () => {
  small = await startSmallApp();
});
afterAll(() => small.app.close());

const path = '/v2/service_instances/i';
const put = (call: Parameters<SmallApp['platform']['send']>[2], at = path) => small.platform.send('PUT', at, call);

describe('bodies', () => {
  it.each([
    ['malformed JSON', { raw: '{"service_id":' }, /^body: malformed JSON/],
    [
      'no content type',
      { raw: '{}', headers: { 'content-type': undefined } },
      /^content-type: expected application\/json/,
    ],
    [
      'another content type',
      { raw: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      /^content-type/,
    ],
    ['a malformed content type', { raw: '{}', headers: { 'content-type': 'json;;=' } }, /^content-type/],
    ['no body', {}, /^body: expected a JSON object/],
    ['an empty body', { raw: '' }, /^body: expected a JSON object/],
    ['a list', { body: [] }, /^body: expected a JSON object/],
    ['a text', { body: 'x' }, /^body: expected a JSON object/],
    ['null', { raw: 'null' }, /^body: expected a JSON object/],
    ['bytes that are no UTF-8', { raw: Buffer.from([0x22, 0xff, 0x22]) }, /^body: expected JSON in UTF-8/],
    [
      'NUL',
      { body: { service_id: 's', context: { name: 'a\0b' } } },
      /^context.name: expected valid Unicode without NUL/,
    ],
    ['half a surrogate pair', { raw: '{"a":"\\ud800"}' }, /^a: expected valid Unicode/],
    ['a bottomless body', { raw: `${'['.repeat(100_000)}${']'.repeat(100_000)}` }, /^body: expected at most 64 levels/],
    ['a missing field', { body: {} }, /^service_id: expected a text$/],
    ['a wrong type', { body: { service_id: 1, note: [] } }, /service_id: expected a text; note: expected a text/],
  ])('says 400 to %s', async (_what, call, description) => {
    const answer = await put(call);
    expect(answer.body).toEqual({ description: expect.stringMatching(description) as string });
    expect(answer.status).toBe(400);
  });

  it('ignores unknown fields', async () => {
    const { status, body } = await put({ body: { service_id: 's', colour: 'red', __proto__: { x: 1 } } });
    expect(status).toBe(201);
    expect(body['body']).toEqual({ service_id: 's' });
  });

  it('takes a charset and structured suffixes', async () => {
    for (const type of ['application/json; charset=utf-8', 'application/vnd.broker+json'])
      expect((await put({ raw: '{"service_id":"s"}', headers: { 'content-type': type } })).status).toBe(201);
  });

  it('says 413 to more than 1 MiB, announced or not', async () => {
    const raw = JSON.stringify({ service_id: 'x'.repeat(1024 * 1024) });
    expect(await put({ raw })).toMatchObject({ status: 413, body: { description: 'body: expected at most 1 MiB' } });
    const chunked = { raw, headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' } };
    expect((await put(chunked)).status).toBe(413);
  });

  it('takes a DELETE with a JSON content type and no body', async () => {
    const answer = await small.platform.delete(path, { headers: { 'content-type': 'application/json' } });
    expect(answer.status).toBe(200);
  });

  it('takes a POST without a body', async () => {
    expect(await small.admin.send('POST', '/things/1')).toMatchObject({ status: 200, body: { body: null } });
  });
});

describe('ids', () => {
  it.each(['a b', 'a/b', '"\'', 'Ünï', '../..', '%', 'x'.repeat(255), '😀'.repeat(255), 'é'.repeat(255)])(
    'takes %s',
    async (id) => {
      const answer = await put({ body: { service_id: 's' } }, `/v2/service_instances/${encodeURIComponent(id)}`);
      expect(answer.status).toBe(201);
      expect(answer.body['id']).toBe(id);
    },
  );

  it('asks for credentials first, and logs, also where the path cannot be read', async () => {
    const unreadable = '/v2/service_instances/%ff';
    const answer = await small.platform.as(undefined).get(unreadable, { headers: { 'x-request-id': 'r-unreadable' } });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Basic realm="platform"/);
    const line = await until('the line', () => small.log.find((each) => each['request_id'] === 'r-unreadable'));
    expect(line).toMatchObject({ method: 'GET', path: unreadable, status: 401 });
  });

  it.each(['x'.repeat(256), 'x'.repeat(5000), 'a%00b', '%', '%ff'])('says 400 to %s', async (id) => {
    const answer = await put({ body: { service_id: 's' } }, `/v2/service_instances/${id}`);
    expect(answer.status).toBe(400);
    expect(answer.body['description']).toMatch(/^(instance_id|path): expected/);
    expect(answer.headers['x-request-id']).toBeDefined();
  });
});

describe('queries', () => {
  it('says 400 to a key that is there twice, naming it', async () => {
    const answer = await small.platform.delete(`${path}?service_id=a&service_id=b&plan_id=c`);
    expect(answer).toMatchObject({
      status: 400,
      body: { description: 'service_id: expected at most once in the query' },
    });
  });

  it('says 400 to NUL', async () => {
    expect((await small.platform.delete(`${path}?service_id=a%00`)).status).toBe(400);
  });
});

describe('headers', () => {
  const identity = (text: string) => ({
    headers: { 'x-broker-api-originating-identity': text },
    body: { service_id: 's' },
  });
  const base64 = (text: string) => Buffer.from(text).toString('base64');

  it('knows who asks from the originating identity', async () => {
    const { body } = await put(identity(`cloudfoundry ${base64('{"user_id":"u-1"}')}`));
    expect(body['requester']).toEqual({
      realm: 'platform',
      username: 'platform',
      originating: { platform: 'cloudfoundry', value: { user_id: 'u-1' } },
    });
  });

  it.each([
    'cloudfoundry',
    `cloudfoundry ${base64('[1]')}`,
    `cloudfoundry ${base64('no')}`,
    `cloudfoundry ***`,
    '',
    `cf ${base64('{"a":"\\u0000"}')}`,
  ])('says 400 to the originating identity %p', async (header) => {
    expect(await put(identity(header))).toMatchObject({
      status: 400,
      body: { description: expect.stringContaining('x-broker-api-originating-identity') as string },
    });
  });

  it('echoes the request identity', async () => {
    const answer = await small.platform.get('/v2/catalog', { headers: { 'x-broker-api-request-identity': 'r-1' } });
    expect(answer.headers['x-broker-api-request-identity']).toBe('r-1');
  });

  it.each([
    [{ 'x-request-id': 'abc-1' }, 'abc-1'],
    [{ 'x-vcap-request-id': 'v::1' }, 'v::1'],
    [{ 'x-request-id': 'first', 'x-vcap-request-id': 'second' }, 'first'],
    [{ 'x-request-id': 'with space', 'x-vcap-request-id': 'second' }, 'second'],
  ])('takes the request id of %p', async (headers, id) => {
    expect((await small.platform.get('/v2/catalog', { headers })).headers['x-request-id']).toBe(id);
  });

  it.each(['', 'a b', '<script>', 'x'.repeat(129)])('draws a request id in place of %p', async (id) => {
    const answer = await small.platform.get('/v2/catalog', { headers: { 'x-request-id': id } });
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('forbids to keep what may hold credentials, and sends the protective headers', async () => {
    for (const answer of [await small.platform.get('/v2/catalog'), await small.admin.get('/things/1')]) {
      expect(answer.headers['cache-control']).toBe('no-store');
      expect(answer.headers['x-content-type-options']).toBe('nosniff');
      expect(answer.headers['content-security-policy']).toBe("default-src 'none'");
    }
  });
});

describe('paths and methods', () => {
  it('says 404 to an unknown path', async () => {
    expect(await small.platform.get('/v2/nothing')).toMatchObject({
      status: 404,
      body: { description: 'there is nothing at this path' },
    });
    const outside = await small.admin.get('/nothing');
    expect(outside).toMatchObject({ status: 404, body: { code: 'not_found', status: 404, type: 'about:blank' } });
    expect(outside.headers['content-type']).toMatch(/^application\/problem\+json/);
  });

  it('says 405 to another method, naming those that are there', async () => {
    const answer = await small.platform.send('POST', path, { body: {} });
    expect(answer.status).toBe(405);
    expect(answer.headers['allow']).toBe('DELETE, PATCH, PUT');
    expect((await small.admin.send('OPTIONS', '/things/1')).headers['allow']).toBe('GET, HEAD, POST');
  });

  it('answers HEAD', async () => {
    expect(await small.platform.send('HEAD', '/v2/catalog')).toMatchObject({ status: 200, text: '' });
  });
});

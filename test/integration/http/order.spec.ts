import { type SmallApp, PASSWORDS, draw, startSmallApp } from './small-app.js';

let small: SmallApp;
beforeAll(async () => {
  small = await startSmallApp();
});
afterAll(() => small.app.close());

const path = '/v2/service_instances/i';

describe('the order of checks', () => {
  const nothingRight = { headers: { 'content-type': 'application/json', 'x-broker-api-version': '1.0' }, raw: '{' };

  it('says 401 before everything else, with the realm', async () => {
    const { status, headers, body } = await small.platform.as(undefined).send('PUT', path, nothingRight);
    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe('Basic realm="platform", charset="UTF-8"');
    expect(body).toEqual({ description: 'expected Basic credentials of realm platform' });
  });

  it('says 412 before 400', async () => {
    const { status, body } = await small.platform.send('PUT', path, nothingRight);
    expect(status).toBe(412);
    expect(body).toEqual({ description: expect.stringContaining('x-broker-api-version: expected 2.x') as string });
  });

  it.each(['2.17', '2.15', '2.0', '2.99'])('accepts version %s', async (version) => {
    const answer = await small.platform.having({ 'x-broker-api-version': version }).get('/v2/catalog');
    expect(answer.status).toBe(200);
  });

  it.each([undefined, '', '3.0', '1.9', '2', '2.x', '2.17, 2.17', 'v2.17'])(
    'says 412 to version %s',
    async (version) => {
      const answer = await small.platform.having({ 'x-broker-api-version': version }).get('/v2/catalog');
      expect(answer.status).toBe(412);
    },
  );

  it('says 400 last', async () => {
    const answer = await small.platform.send('PUT', path, { raw: '{' });
    expect(answer.status).toBe(400);
    expect(answer.body['description']).toMatch(/^body: malformed JSON/);
  });

  it('wants no API version outside /v2', async () => {
    expect((await small.admin.get('/things/1')).status).toBe(200);
  });
});

describe('realms', () => {
  it('keeps them apart', async () => {
    const platformUser = { username: 'platform', password: PASSWORDS.platform[0] ?? '' };
    const adminUser = { username: 'admin', password: PASSWORDS.admin[0] ?? '' };
    expect((await small.platform.as(adminUser).get('/v2/catalog')).status).toBe(401);
    expect((await small.admin.as(platformUser).get('/things/1')).status).toBe(401);
  });

  it('opens a route without a realm to nobody', async () => {
    expect((await small.admin.get('/closed')).status).toBe(403);
  });

  it('opens a public one to everybody', async () => {
    expect((await small.admin.as(undefined).get('/open')).status).toBe(200);
  });

  it('takes every configured credential, so that they can be exchanged without a gap', async () => {
    for (const [index, username] of ['platform', 'platform-next'].entries()) {
      const client = small.platform.as({ username, password: PASSWORDS.platform[index] ?? '' });
      const { body } = await client.send('PUT', path, { body: { service_id: 's' } });
      expect(body['requester']).toEqual({ realm: 'platform', username });
    }
    const crossed = { username: 'platform', password: PASSWORDS.platform[1] ?? '' };
    expect((await small.platform.as(crossed).get('/v2/catalog')).status).toBe(401);
  });

  it.each(['Bearer abc', 'Basic', 'Basic !!!', 'Basic bm9jb2xvbg==', ''])('says 401 to %p', async (authorization) => {
    const answer = await small.platform.as(undefined).get('/v2/catalog', { headers: { authorization } });
    expect(answer.status).toBe(401);
  });
});

describe('wrong credentials', () => {
  it('are slowed by user name and address, and never stand in the way of correct ones', async () => {
    const wrong = small.platform.as({ username: 'platform', password: draw() });
    const statuses: number[] = [];
    for (let round = 0; round < 100; round++)
      statuses.push(
        ...(await Promise.all(Array.from({ length: 10 }, () => wrong.get('/v2/catalog')))).map((a) => a.status),
      );
    expect(statuses.slice(0, 10)).toContain(401);
    expect(new Set(statuses.slice(10))).toEqual(new Set([429]));
    const refused = await wrong.get('/v2/catalog');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(refused.body).toEqual({ description: 'too many wrong credentials from this address' });
    expect((await small.platform.get('/v2/catalog')).status).toBe(200);
    const other = await small.platform.as({ username: 'other', password: draw() }).get('/v2/catalog');
    expect(other.status).toBe(401);
  });
});

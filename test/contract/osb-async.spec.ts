import { expectDone, expectRefused } from '../support/answers.js';
import { type SpawnedBroker, spawnBroker } from '../support/broker.js';
import { type Answer, type Json } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { credentialsOf, ids, instancePath, later, MEDIUM, place, type Platform, SMALL } from '../support/platform.js';
import { holding, sql } from '../support/sql.js';
import { until } from '../support/until.js';

let cluster: Cluster;
let broker: SpawnedBroker;
let platform: Platform;

beforeAll(async () => {
  cluster = await startCluster();
  broker = await spawnBroker({ cluster, config: { http: { sync_wait: '200ms' } } });
  platform = broker.platform;
});

afterAll(async () => {
  await broker?.stop();
  await cluster?.remove();
});

async function restarted(config: Json): Promise<void> {
  await broker.stop();
  broker = await spawnBroker({ home: broker.home, config });
  platform = broker.platform;
}

const rolesHeld = <T>(during: (release: () => Promise<void>) => Promise<T>) =>
  holding(cluster.superuserUrl(), 'pg_authid', during);
const databasesHeld = <T>(during: (release: () => Promise<void>) => Promise<T>) =>
  holding(cluster.superuserUrl(), 'pg_database', during);

function accepted(answer: Answer): string {
  expectDone(answer, 202);
  expect(answer.body['operation']).toEqual(expect.stringMatching(/\S/));
  return String(answer.body['operation']);
}

function expectInProgress(answer: Answer): void {
  expectDone(answer, 200);
  expect(answer.body['state']).toBe('in progress');
  expect(answer.headers['retry-after']).toMatch(/^\d+$/);
}

async function settledAs(instance: string, state: string, operation?: string): Promise<void> {
  const answer = await platform.ended(instance, operation === undefined ? {} : { operation });
  expect({ status: answer.status, state: answer.body['state'] }).toEqual({ status: 200, state });
}

describe('a provision that is not done within http.sync_wait', () => {
  let operation: string;

  it('is 202 with an operation, the identical one again 202 with the same, others meanwhile 409 and 422', async () => {
    await rolesHeld(async () => {
      operation = accepted(await platform.provision('slow', {}, later));
      expect(accepted(await platform.provision('slow', {}, later))).toBe(operation);
      expectRefused(await platform.provision('slow', { plan_id: MEDIUM }, later), 409);
      expectRefused(await platform.update('slow', { plan_id: MEDIUM }, later), 422, { error: 'ConcurrencyError' });
      expectRefused(await platform.bind('slow', 'b', {}, later), 422, { error: 'ConcurrencyError' });
      expectRefused(await platform.instance('slow'), 404);
      expectInProgress(await platform.lastOperation('slow', { operation }));
      expectInProgress(await platform.lastOperation('slow'));
    });
  });

  it('ends as succeeded, and the instance is there', async () => {
    await settledAs('slow', 'succeeded', operation);
    expectDone(await platform.instance('slow'), 200);
    await broker.home.estate.expectExactly(['slow']);
  });

  it('that waits in CREATE DATABASE too', async () => {
    await databasesHeld(async () => {
      operation = accepted(await platform.provision('slow-2', {}, later));
    });
    await settledAs('slow-2', 'succeeded', operation);
  });
});

describe('an update that is not done within http.sync_wait', () => {
  it('is 202, repeated 202 with the same operation, GET 422 ConcurrencyError, then applied', async () => {
    let operation = '';
    await databasesHeld(async () => {
      operation = accepted(await platform.update('slow', { plan_id: MEDIUM }, later));
      expect(accepted(await platform.update('slow', { plan_id: MEDIUM }, later))).toBe(operation);
      expectRefused(await platform.update('slow', { parameters: { extensions: ['citext'] } }, later), 422, {
        error: 'ConcurrencyError',
      });
      expectRefused(await platform.instance('slow'), 422, { error: 'ConcurrencyError' });
      expectInProgress(await platform.lastOperation('slow', { operation }));
    });
    await settledAs('slow', 'succeeded', operation);
    expect((await platform.instance('slow')).body).toMatchObject({ plan_id: MEDIUM });
    expectDone(await platform.update('slow', { plan_id: SMALL }), 200);
  });
});

describe('a deprovision that is not done within http.sync_wait', () => {
  let operation: string;

  it('is 202, repeated 202 with the same operation, anything else 422', async () => {
    await databasesHeld(async () => {
      operation = accepted(await platform.deprovision('slow-2', later));
      expect(accepted(await platform.deprovision('slow-2', later))).toBe(operation);
      expectInProgress(await platform.lastOperation('slow-2', { operation }));
      expectRefused(await platform.bind('slow-2', 'b'), 422, { error: 'ConcurrencyError' });
      expectRefused(await platform.update('slow-2', { plan_id: MEDIUM }), 422, { error: 'ConcurrencyError' });
      expectRefused(await platform.provision('slow-2', {}, later), 422, { error: 'ConcurrencyError' });
    });
  });

  it('ends as succeeded and stays so for a while, the instance is 410', async () => {
    await settledAs('slow-2', 'succeeded', operation);
    for (const query of [{ operation }, {}]) {
      const answer = await platform.lastOperation('slow-2', query);
      expectDone(answer, 200);
      expect(answer.body['state']).toBe('succeeded');
    }
    expect((await platform.deprovision('slow-2', later)).status).toBe(410);
    expectRefused(await platform.instance('slow-2'), 404);
    await broker.home.estate.expectExactly(['slow']);
  });

  it('is 410 when the while is over', async () => {
    await broker.home.estate.state(
      `UPDATE operation SET created_at = created_at - interval '60 days', started_at = started_at - interval '60 days',
       finished_at = finished_at - interval '60 days' WHERE instance_id = 'slow-2'`,
    );
    const answer = await platform.lastOperation('slow-2', { operation });
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 410, text: '{}' });
  });
});

describe('a DELETE while the create still runs', () => {
  beforeAll(() => restarted({}));
  afterAll(() => restarted({ http: { sync_wait: '200ms' } }));

  it.each([
    ['with roles half made', rolesHeld],
    ['before the database is there', databasesHeld],
  ])('%s: the create is halted, and nothing is left behind', async (_when, held) => {
    const [made, deleted] = await held(async (release) => {
      const provision = platform.provision('halted', {}, later);
      await until('the work to run', async () =>
        (await broker.home.estate.look()).active.some(({ state }) => state === 'running'),
      );
      const deprovision = platform.deprovision('halted', later);
      await until('the halt to be known', async () =>
        (await broker.home.estate.look()).active.every(({ cancel_requested }) => cancel_requested === true),
      );
      await release();
      return Promise.all([provision, deprovision]);
    });
    expect([200, 202]).toContain(deleted.status);
    expect(made.status).toBeGreaterThanOrEqual(400);
    expectRefused(made, made.status);
    await broker.home.estate.expectExactlySoon(['slow']);
    expect((await platform.deprovision('halted', later)).status).toBe(410);
    expectRefused(await platform.instance('halted'), 404);
  });

  it('of a binding leaves no role behind', async () => {
    await rolesHeld(async (release) => {
      const bound = platform.bind('slow', 'halted').catch((error: unknown) => error);
      await until('the binding to be begun', async () => (await broker.home.estate.look()).bindings.length === 1);
      const unbound = platform.unbind('slow', 'halted', later);
      await release();
      expect([200, 202]).toContain((await unbound).status);
      await bound;
    });
    await until('nothing to be left', async () => (await platform.unbind('slow', 'halted', later)).status === 410);
    await broker.home.estate.expectExactly(['slow']);
  });
});

describe('a binding that is not done within http.sync_wait', () => {
  it('is 201 late or 202 with an operation that ends, and is there then', async () => {
    const answer = await rolesHeld(async (release) => {
      const bound = platform.bind('slow', 'late', {}, later);
      await until('the binding to be begun', async () => (await broker.home.estate.look()).bindings.length === 1);
      expectRefused(await platform.binding('slow', 'late'), 404);
      expectInProgress(await platform.lastBindingOperation('slow', 'late'));
      await release();
      return bound;
    });
    expect([201, 202]).toContain(answer.status);
    await until(
      'the binding',
      async () => (await platform.lastBindingOperation('slow', 'late')).body['state'] === 'succeeded',
    );
    const { uri } = credentialsOf(await platform.binding('slow', 'late'));
    expect(await sql(uri, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await broker.home.estate.expectExactly(['slow'], ['slow/late']);
  });

  it('and an unbind likewise', async () => {
    await rolesHeld(async (release) => {
      const unbound = platform.unbind('slow', 'late', later);
      await until('the unbind to be begun', async () =>
        (await broker.home.estate.look()).bindings.some(({ state }) => state === 'unbinding'),
      );
      await release();
      expect([200, 202]).toContain((await unbound).status);
    });
    await until('nothing to be left', async () => (await platform.unbind('slow', 'late', later)).status === 410);
    await broker.home.estate.expectExactly(['slow']);
  });
});

describe('a platform whose connection breaks', () => {
  it('repeats the same PUT at once and meets the same work', async () => {
    const cut = new AbortController();
    const body = { ...ids, ...place };
    await rolesHeld(async () => {
      const first = platform.send('PUT', instancePath('cut'), { query: later, body, signal: cut.signal });
      first.catch(() => undefined);
      await until('the work to begin', async () => (await broker.home.estate.look()).active.length === 1);
      cut.abort();
      await expect(first).rejects.toThrow();
      accepted(await platform.provision('cut', {}, later));
    });
    await settledAs('cut', 'succeeded');
    await broker.home.estate.expectExactly(['cut', 'slow']);
    expectDone(await platform.deprovision('cut', later), 200);
  });
});

describe('work that fails', () => {
  it.each([
    ['update', () => platform.update('slow', { plan_id: MEDIUM }, later)],
    ['deprovision', () => platform.deprovision('slow', later)],
  ])('an %s says whether the instance can be used and the call repeated', async (kind, ask) => {
    await databasesHeld(async () => {
      const operation = accepted(await ask());
      expect((await broker.admin.delete(`/operations/${operation}`)).status).toBe(202);
    });
    const { body } = await platform.ended('slow');
    const more = kind === 'update' ? { instance_usable: true, update_repeatable: true } : {};
    expect(body).toMatchObject({ state: 'failed', instance_usable: expect.any(Boolean) as boolean, ...more });
    if (kind === 'update') expect((await platform.instance('slow')).body).toMatchObject({ plan_id: SMALL });
  });

  it('is right when it is repeated', async () => {
    await until('the deprovision', async () => (await platform.deprovision('slow', later)).status === 410);
    await broker.home.estate.expectExactlySoon([]);
  });
});

describe('the admin sees the operation', () => {
  it('with phase and requester while it runs, and can cancel it', async () => {
    await rolesHeld(async () => {
      const operation = accepted(await platform.provision('cancelled', {}, later));
      const running = await until('the operation to run', async () => {
        const { body } = await broker.admin.get(`/operations/${operation}`);
        return body['state'] === 'running' ? body : undefined;
      });
      expect(running).toMatchObject({
        id: operation,
        kind: 'provision',
        instance_id: 'cancelled',
        requested_by: { realm: 'platform' },
      });
      expect((await broker.admin.delete(`/operations/${operation}`)).status).toBe(202);
    });
    await settledAs('cancelled', 'failed');
    await until('nothing to be left', async () =>
      [200, 410].includes((await platform.deprovision('cancelled', later)).status),
    );
    await until('the instance to be gone', async () => (await platform.deprovision('cancelled', later)).status === 410);
    await broker.home.estate.expectExactlySoon([]);
  });
});

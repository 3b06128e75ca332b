import { BrokerError } from '../errors.js';
import { isCollision, isLost, serverFault, SilenceError } from './server-fault.js';

const coded = (code: string, message = 'SELECT secret FROM internals') => Object.assign(new Error(message), { code });

describe('errors of a server', () => {
  it.each([
    [coded('ECONNREFUSED'), 'server_unreachable'],
    [coded('ENOTFOUND'), 'server_unreachable'],
    [coded('57P01'), 'server_unreachable'],
    [coded('57P03'), 'server_unreachable'],
    [coded('08006'), 'server_unreachable'],
    [coded('28P01'), 'server_unreachable'],
    [coded('53300'), 'server_unreachable'],
    [coded('57014'), 'server_unreachable'],
    [coded('53100'), 'server_full'],
    [coded('55P03'), 'concurrency'],
    [coded('40P01'), 'concurrency'],
    [new Error('Connection terminated unexpectedly'), 'server_unreachable'],
    [new SilenceError(''), 'server_unreachable'],
  ])('%p becomes %s, without a word of its own', (error, code) => {
    const fault = serverFault('blue', error);
    expect(fault).toMatchObject({ code, cause: error });
    expect((fault as Error).message).not.toMatch(/SELECT|ECONN|\d{2}[0-9A-Z]{3}/);
  });

  it('a certificate that is not trusted says where to trust it', () => {
    expect(serverFault('blue', coded('DEPTH_ZERO_SELF_SIGNED_CERT'))).toMatchObject({
      code: 'server_unreachable',
      message: expect.stringContaining('servers[].ca') as string,
    });
  });

  it('what is known already, and what is not known at all, passes', () => {
    for (const error of [
      new BrokerError('cancelled', 'cancelled'),
      coded('42601'),
      new TypeError('x'),
      undefined,
      'text',
    ])
      expect(serverFault('blue', error)).toBe(error);
  });

  it('a right that the role lacks is named, but no other refusal is', () => {
    expect(serverFault('blue', coded('42501', 'permission denied to create role'))).toMatchObject({
      code: 'server_unreachable',
      message: "server blue does not let the broker's role do what it must: permission denied to create role",
    });
    const refused = coded('42501', 'permission denied for table orders');
    expect(serverFault('blue', refused)).toBe(refused);
  });

  it('a lost connection and a collision are told from other errors', () => {
    expect(['ECONNRESET', '57P02', '08003'].map((code) => isLost(coded(code)))).toEqual([true, true, true]);
    expect(['42P01', '23505', 'XX000'].map((code) => isLost(coded(code)))).toEqual([false, false, false]);
    expect(isCollision(coded('XX000', 'tuple concurrently updated'))).toBe(true);
    expect(isCollision(coded('XX000', 'something is broken'))).toBe(false);
  });
});

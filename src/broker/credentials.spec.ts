import { credentials, endpoints } from './credentials.js';

const tls = { host: 'db.example.org', port: 6543, sslmode: 'verify-full', ca: '-----BEGIN CERTIFICATE-----' };

describe('credentials', () => {
  it('stand under every key that client libraries look for', () => {
    expect(credentials(tls, 'd1', 'b1', 'secret')).toEqual({
      uri: 'postgresql://b1:secret@db.example.org:6543/d1?sslmode=verify-full',
      jdbcUrl: 'jdbc:postgresql://db.example.org:6543/d1?user=b1&password=secret&sslmode=verify-full',
      hostname: 'db.example.org',
      host: 'db.example.org',
      port: 6543,
      name: 'd1',
      database: 'd1',
      dbname: 'd1',
      username: 'b1',
      password: 'secret',
      sslmode: 'verify-full',
      sslrootcert: '-----BEGIN CERTIFICATE-----',
    });
  });

  it('leave out sslrootcert where no authority is configured', () => {
    expect(credentials({ ...tls, ca: undefined }, 'd', 'b', 's')).not.toHaveProperty('sslrootcert');
  });

  it('leave what every driver prefers out of the URLs', () => {
    const { uri, jdbcUrl, sslmode } = credentials({ host: 'h', port: 1, sslmode: 'prefer' }, 'd', 'b', 's');
    expect({ uri, jdbcUrl, sslmode }).toEqual({
      uri: 'postgresql://b:s@h:1/d',
      jdbcUrl: 'jdbc:postgresql://h:1/d?user=b&password=s',
      sslmode: 'prefer',
    });
  });

  it('put an IPv6 address in brackets within the URLs only', () => {
    const { uri, jdbcUrl, host } = credentials({ host: '::1', port: 5432, sslmode: 'prefer' }, 'd', 'b', 's');
    expect(new URL(uri).hostname).toBe('[::1]');
    expect(jdbcUrl).toMatch(/^jdbc:postgresql:\/\/\[::1\]:5432\/d\?/);
    expect(host).toBe('::1');
  });

  it('come with the endpoint to open in firewalls', () => {
    expect(endpoints(tls)).toEqual([{ host: 'db.example.org', ports: ['6543'], protocol: 'tcp' }]);
  });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { drawCertificate } from '../../test/support/certificate.js';
import { unusedKeys } from './cloud-controller.js';
import { configurationDocs } from './docs.js';
import { ConfigurationError, embeddedMode, loadConfig } from './load.js';

type Tree = Record<string, unknown>;

const folder = mkdtempSync(join(tmpdir(), 'broker-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SECRET = Buffer.alloc(32, 7).toString('base64');

function minimal(): Tree {
  return {
    platform: { credentials: [{ password: 'platform-password' }] },
    admin: { credentials: [{ password: 'admin-password' }] },
    state: { url: 'postgres://broker:state-password@localhost/state', encryption_keys: [{ id: 'a', secret: SECRET }] },
    servers: [{ name: 'one', url: 'postgres://broker:server-password@localhost/postgres' }],
  };
}

function load(tree: unknown, env: NodeJS.ProcessEnv = {}) {
  const file = join(folder, 'config.json');
  writeFileSync(file, typeof tree === 'string' ? tree : JSON.stringify(tree));
  return loadConfig({ BROKER_CONFIG: file, ...env });
}

function faultsOf(tree: unknown, env: NodeJS.ProcessEnv = {}): readonly string[] {
  try {
    load(tree, env);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.faults;
    throw error;
  }
  return [];
}

describe('a minimal file', () => {
  it('is completed with defaults', () => {
    const config = load(minimal());
    expect(config.http).toEqual({
      host: '127.0.0.1',
      port: 8080,
      sync_wait: 50_000,
      max_upload: 100 * 1024 ** 3,
      trusted_proxies: [],
    });
    expect(config.platform.credentials[0]?.username).toBe('platform');
    expect(config.admin.credentials[0]?.username).toBe('admin');
    expect(config.servers[0]).toMatchObject({ weight: 1, accepts_new: true, max_connections: 20 });
    expect(config.operations).toEqual({
      roles: ['api', 'worker'],
      parallel: 2,
      restore_jobs: 2,
      deadline: 43_200_000,
      grace: 30_000,
      upload_retry: 86_400_000,
    });
    expect(config.catalog.services[0]?.plans.map(({ name }) => name)).toEqual(['small', 'medium', 'large']);
    expect(config.log).toEqual({ level: 'info', format: 'auto' });
  });

  it('is frozen through and through', () => {
    const config = load(minimal());
    expect(Object.isFrozen(config.catalog.services[0]?.plans[0]?.limits)).toBe(true);
    expect(() => Object.assign(config.http, { port: 1 })).toThrow(TypeError);
  });

  it('never prints a secret', () => {
    const config = load(minimal());
    const printed = [JSON.stringify(config), inspect(config, { depth: 20 }), `${String(config.state.url)}`].join();
    for (const secret of ['platform-password', 'admin-password', 'state-password', 'server-password', SECRET])
      expect(printed).not.toContain(secret);
    expect(config.admin.credentials[0]?.password.reveal()).toBe('admin-password');
  });

  it('takes a key without a value as an absent one', () => {
    const tree = minimal();
    tree['http'] = { external_url: null, tls: { certificate: null, private_key: null } };
    tree['cloud_controller'] = { url: null, dashboard_client: { id: null } };
    const config = load(tree);
    expect(config.http.tls).toBeUndefined();
    expect(unusedKeys(config)).toEqual([]);
  });
});

describe('faults', () => {
  it('are listed all at once, each with its path and what was expected', () => {
    const tree = minimal();
    tree['http'] = { port: '80', sync_wait: '5 minutes', colour: 'red', trusted_proxies: ['10.0.0.0/99'] };
    tree['log'] = { level: 'loud' };
    tree['extra'] = 1;
    tree['servers'] = [
      { name: 'a', url: 'mysql://x' },
      { name: 'a', url: 'postgres://h/d', weight: 0 },
    ];
    expect([...faultsOf(tree)].sort()).toEqual([
      'extra: unknown key',
      'http.colour: unknown key',
      'http.port: expected a port number',
      'http.sync_wait: expected a duration such as 500ms, 30s, 10m, 24h or 7d',
      'http.trusted_proxies.0: expected an IP address or a range such as 10.0.0.0/8',
      expect.stringMatching(/^log\.level: /) as string,
      'servers.0.url: expected a URL such as postgres://user:password@host:5432/database',
      'servers.1.weight: expected a number above 0',
      'servers.1: expected a unique name: a is taken',
    ]);
  });

  it.each<[string, (tree: Tree) => void, RegExp]>([
    ['state without servers', (tree) => delete tree['servers'], /^servers: expected at least one server/],
    ['servers without state', (tree) => delete tree['state'], /^state/],
    ['no credential', (tree) => (tree['admin'] = { credentials: [] }), /^admin.credentials: expected at least one/],
    [
      'an empty password',
      (tree) => (tree['admin'] = { credentials: [{ password: '' }] }),
      /^admin.credentials.0.password/,
    ],
    [
      'a user name that is there twice',
      (tree) => (tree['admin'] = { credentials: [{ password: 'a' }, { password: 'b' }] }),
      /^admin.credentials.1: expected a unique user name: admin is taken/,
    ],
    [
      'a short key',
      (tree) => (tree['state'] = { url: 'postgres://h/d', encryption_keys: [{ id: 'a', secret: 'YWJj' }] }),
      /^state.encryption_keys.0.secret: expected the base64 form of 32 random bytes/,
    ],
    [
      'a key id that is there twice',
      (tree) =>
        (tree['state'] = {
          url: 'postgres://h/d',
          encryption_keys: [
            { id: 'a', secret: SECRET },
            { id: 'a', secret: SECRET },
          ],
        }),
      /^state.encryption_keys.1: expected a unique id: a is taken/,
    ],
    [
      'a missing file',
      (tree) => (tree['state'] = { ...(tree['state'] as Tree), ca: '/nowhere/ca.pem' }),
      /^state.ca: expected certificates/,
    ],
    ['a storage of an unknown type', (tree) => (tree['storages'] = [{ name: 'x', type: 'tape' }]), /^storages.0.type/],
    ['an unknown role', (tree) => (tree['operations'] = { roles: ['boss'] }), /^operations.roles.0/],
    ['a list in place of keys', (tree) => (tree['http'] = []), /^http: /],
  ])('%s', (_what, change, fault) => {
    const tree = minimal();
    change(tree);
    const faults = faultsOf(tree);
    expect(faults).toEqual(expect.arrayContaining([expect.stringMatching(fault)]));
  });

  it.each([
    ['no file', { BROKER_CONFIG: '/nowhere.yml' }, /^BROKER_CONFIG: cannot read \/nowhere.yml/],
    ['a port that is no number', { BROKER_PORT: 'eighty' }, /^BROKER_PORT \(http.port\): expected a port number/],
  ])('%s', (_what, env, fault) => {
    expect(faultsOf(minimal(), env)[0]).toMatch(fault);
  });

  it('of a file that is no YAML, or no keys and values', () => {
    expect(faultsOf('a: [')[0]).toMatch(/^BROKER_CONFIG: cannot read/);
    expect(faultsOf('[1]')[0]).toMatch(/^BROKER_CONFIG: expected .* to hold keys and values/);
  });

  it('name no value of a secret', () => {
    const tree = minimal();
    tree['servers'] = [{ name: 'a', url: 'postgres:// user:hidden-password@h' }];
    tree['http'] = { tls: { certificate: 'hidden-certificate', private_key: 'hidden-key' } };
    expect(faultsOf(tree)).toHaveLength(3);
    expect(faultsOf(tree).join()).not.toContain('hidden');
    for (const key of ['MIIhidden'.repeat(1000), 'MIIhidden\nhidden', 'hidden\0']) {
      tree['http'] = { tls: { certificate: drawCertificate('a').certificate, private_key: key } };
      expect(faultsOf(tree).join()).toMatch(/http.tls.private_key: expected a private key in PEM form(?!.*hidden)/);
    }
  });

  it.each([
    ['a map in a line', 'pa: hidden', 'line 2, column 29: block in flow'],
    ['a tag', '!hidden x', 'line 2, column 29: tag resolve failed'],
    ['an alias', '*hidden', 'an alias in it'],
    ['a quote that is not closed', '"hidden', 'missing char'],
    ['an escape', '"hidden\\h"', 'bad dq escape'],
    ['a reserved character', '%hidden', ''],
  ])('name none where the YAML is wrong: %s', (_what, secret, says) => {
    const faults = faultsOf(`platform:\n  credentials: [{ password: ${secret} }]\n`).join('\n');
    expect(faults).toContain(says);
    expect(faults).not.toContain('hidden');
    expect(faults).toMatch(/^(BROKER_CONFIG: cannot read|platform|state)/);
  });
});

describe('certificates', () => {
  const { certificate, privateKey } = drawCertificate('a');

  it('are taken as text or as the path of a file', () => {
    const files = { certificate: join(folder, 'c.pem'), private_key: join(folder, 'k.pem') };
    writeFileSync(files.certificate, certificate);
    writeFileSync(files.private_key, privateKey);
    const tree = minimal();
    tree['http'] = { tls: files };
    tree['servers'] = [{ name: 'a', url: 'postgres://h/d', ca: files.certificate }];
    expect(load(tree).servers[0]?.ca).toBe(certificate);
    tree['http'] = { tls: { certificate, private_key: privateKey } };
    expect(faultsOf(tree)).toEqual([]);
  });

  it('must be readable, and the key must be theirs', () => {
    const tree = minimal();
    tree['http'] = { tls: { certificate: privateKey, private_key: '/nowhere/key.pem' } };
    expect(faultsOf(tree)).toEqual([
      'http.tls.certificate: expected certificates in PEM form, or the path of a file with them: no certificate in it',
      expect.stringMatching(
        /^http.tls.private_key: expected a private key in PEM form, or the path of a file with it: .*ENOENT/,
      ),
    ]);
    tree['http'] = { tls: { certificate, private_key: drawCertificate('b').privateKey } };
    expect(faultsOf(tree)).toEqual(['http.tls.private_key: expected the private key of the certificate']);
  });
});

describe('the environment', () => {
  it('goes before the file', () => {
    const config = load(
      { ...minimal(), http: { port: 1, host: 'localhost' }, data_dir: 'x' },
      {
        BROKER_PORT: '0',
        PORT: '99',
        BROKER_HOST: '0.0.0.0',
        BROKER_DATA_DIR: '/tmp/d',
        BROKER_PLATFORM_USERNAME: 'p',
        BROKER_PLATFORM_PASSWORD: 'pp',
        BROKER_ADMIN_USERNAME: 'a',
        BROKER_ADMIN_PASSWORD: 'aa',
      },
    );
    expect(config.http).toMatchObject({ host: '0.0.0.0', port: 0 });
    expect(config.data_dir).toBe('/tmp/d');
    expect(config.platform.credentials.map((each) => [each.username, each.password.reveal()])).toEqual([['p', 'pp']]);
    expect(config.admin.credentials.map((each) => [each.username, each.password.reveal()])).toEqual([['a', 'aa']]);
  });

  it('gives PORT where BROKER_PORT is not set, and an empty variable is not set', () => {
    expect(load(minimal(), { PORT: '99', BROKER_HOST: '' }).http).toMatchObject({ port: 99, host: '127.0.0.1' });
  });
});

describe('the embedded mode', () => {
  it('is on without state.url and servers, and takes what is in the data folder under what is configured', () => {
    const env = { BROKER_DATA_DIR: folder, BROKER_ADMIN_USERNAME: 'boss', BROKER_PORT: '81' };
    expect(embeddedMode(env)).toEqual({ embedded: true, dataDir: folder });
    expect(() => loadConfig(env)).toThrow(/neither is set and there is no embedded PostgreSQL/);
    writeFileSync(join(folder, 'embedded.json'), JSON.stringify(minimal()));
    const config = loadConfig(env);
    expect(config.admin.credentials[0]?.username).toBe('boss');
    expect(config.admin.credentials[0]?.password.reveal()).toBe('admin-password');
    expect(config.http.port).toBe(81);
  });

  it('is off as soon as one of them is there', () => {
    const file = join(folder, 'own.json');
    writeFileSync(file, JSON.stringify({ servers: [] }));
    expect(embeddedMode({ BROKER_CONFIG: file }).embedded).toBe(false);
  });
});

describe('papers', () => {
  it('config/example.yml loads once its placeholders are replaced, each of which is a fault', () => {
    const example = readFileSync('config/example.yml', 'utf8');
    expect(faultsOf(example)).toEqual(
      ['platform.credentials.0.password', 'admin.credentials.0.password', 'state.url']
        .concat('state.encryption_keys.0.secret', 'servers.0.url', 'servers.1.url')
        .map((path) => expect.stringMatching(`^${path}: expected a .* instead of the placeholder$`) as string),
    );
    expect(load(example.replaceAll('replace-me', 'own').replace(/A{43}=/, SECRET)).servers).toHaveLength(2);
  });

  it('docs/configuration.md says what the schema says (npm run docs writes it)', () => {
    expect(readFileSync('docs/configuration.md', 'utf8')).toBe(configurationDocs());
  });

  it('names the keys that are set although nothing uses them yet', () => {
    const tree = {
      ...minimal(),
      cloud_controller: { url: 'https://api.example.com', dashboard_client: { id: 'a', secret: 'b' } },
      storages: [{ name: 'local', type: 'local' }],
    };
    expect(unusedKeys(load(tree))).toEqual(['cloud_controller.dashboard_client']);
    expect(unusedKeys(load({ ...tree, cloud_controller: { url: 'https://api.example.com' } }))).toEqual([]);
  });
});

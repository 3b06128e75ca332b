import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { projectNode } from '../../embedded/project.mjs';
import { run } from '../../embedded/run.mjs';
import { type Json } from '../support/client.js';
import { boshRun } from './bosh-run.js';
import { databasesLink, ODD, PROPERTY_SETS, REQUIRED } from './property-sets.js';
import { jobSpec, render, renderOne } from './render.js';

const { packages, folder } = boshRun();
const CONFIG = 'config/broker.json';

interface BrokerJson {
  platform: { credentials: Json[] };
  admin: { credentials: Json[] };
  state: { url: string; ca?: string };
  servers: { name: string; url: string; ca?: string }[];
}

describe('the configuration of the broker', () => {
  let work: string;
  beforeAll(() => {
    work = mkdtempSync(join(folder, 'templates-'));
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  /** What the packaged application says of it. */
  const check = async (text: string): Promise<string> => {
    mkdirSync(work, { recursive: true });
    const file = join(work, 'broker.json');
    writeFileSync(file, text);
    const main = join(packages, 'postgres-broker', 'dist', 'main.js');
    return run(projectNode(), [main, '--check-config'], { env: { PATH: '/usr/bin:/bin', BROKER_CONFIG: file } });
  };

  it.each(PROPERTY_SETS)('is accepted by the broker: $name', async ({ properties, links }) => {
    const rendered = await render('postgres-broker', properties, links);
    expect(Object.entries(rendered).filter(([, { error }]) => error)).toEqual([]);
    expect(await check(rendered[CONFIG]?.text ?? '')).toBe('the configuration is valid\n');
  });

  it('is what the properties say, character by character', async () => {
    const odd = PROPERTY_SETS.find(({ name }) => name === 'odd characters');
    const config = JSON.parse(
      await renderOne('postgres-broker', CONFIG, odd?.properties ?? {}, odd?.links),
    ) as BrokerJson;
    expect(config.platform).toEqual(odd?.properties['platform']);
    expect(config.admin).toEqual(odd?.properties['admin']);
    const state = new URL(config.state.url);
    expect(decodeURIComponent(state.password)).toBe(ODD);
    expect([state.hostname, state.port, state.pathname]).toEqual([
      'q-s0.postgres.default.bosh',
      '5433',
      '/broker_state',
    ]);
    expect(decodeURIComponent(new URL(config.servers[0]?.url ?? '').password)).toBe(`${ODD}\n2`);
  });

  it('takes the authority of a linked server for the state database and the instances', async () => {
    const linked = PROPERTY_SETS.find(({ name }) => name === 'a linked server with TLS');
    const config = JSON.parse(await renderOne('postgres-broker', CONFIG, REQUIRED, linked?.links)) as BrokerJson;
    expect(config.state.ca).toContain('BEGIN CERTIFICATE');
    expect(config.servers[0]?.ca).toBe(config.state.ca);
  });

  it.each(['platform.credentials', 'admin.credentials', 'state.encryption_keys'])(
    'does not come without %s',
    async (key) => {
      const [section = ''] = key.split('.');
      const rest = { ...REQUIRED };
      delete rest[section];
      await expect(renderOne('postgres-broker', CONFIG, rest, databasesLink())).rejects.toThrow(key);
    },
  );

  it.each([
    ['no database at all', REQUIRED, {}, /state\.url: expected/],
    [
      'a state database, but no server',
      { ...REQUIRED, state: { ...(REQUIRED['state'] as Json), url: 'postgres://a:b@c/d' } },
      {},
      /servers: expected/,
    ],
    [
      'a link without the role',
      { ...REQUIRED, database_link: { server_role: 'other' } },
      databasesLink(),
      /no role other/,
    ],
    [
      'a link to another kind of database',
      REQUIRED,
      { database: { address: 'a', properties: { adapter: 'mysql' } } },
      /mysql, expected postgres/,
    ],
  ])('does not come from %s', async (_, properties, links, message) => {
    await expect(renderOne('postgres-broker', CONFIG, properties, links)).rejects.toThrow(message);
  });
});

describe('bpm', () => {
  const bpm = async (properties: Json) =>
    (
      parse(await renderOne('postgres-broker', 'config/bpm.yml', { ...REQUIRED, ...properties })) as {
        processes: Json[];
      }
    ).processes[0];

  it('gives the broker its disks, its limits and nothing more', async () => {
    expect(await bpm({})).toMatchObject({
      persistent_disk: true,
      ephemeral_disk: true,
      limits: { open_files: 65_536 },
    });
    expect(await bpm({})).not.toHaveProperty('unsafe');
    expect(await bpm({})).not.toHaveProperty('additional_volumes');
  });

  it('gives it the folders that the configuration names elsewhere', async () => {
    const process = await bpm({
      memory_limit: '1G',
      spool: { path: '/var/vcap/data/spool' },
      storages: [
        { name: 'nfs', type: 'local', path: '/mnt/nfs/backups' },
        { name: 'own', type: 'local', path: '/var/vcap/store/postgres-broker/more' },
        { name: 's3', type: 's3', bucket: 'b' },
      ],
    });
    expect(process).toMatchObject({
      limits: { memory: '1G' },
      additional_volumes: [{ path: '/var/vcap/data/spool', writable: true }],
      unsafe: { unrestricted_volumes: [{ path: '/mnt/nfs/backups', writable: true }] },
    });
  });

  it('refuses a folder that is relative to nothing', async () => {
    await expect(bpm({ spool: { path: 'spool' } })).rejects.toThrow(/absolute path: spool/);
  });
});

describe('scripts', () => {
  it.each(['postgres-broker', 'postgres', 'register-broker', 'deregister-broker', 'smoke-tests'])(
    'of %s are scripts of bash',
    async (job) => {
      for (const release_level_backup of [true, false]) {
        const rendered = await render(job, { ...propertiesOf(job), release_level_backup }, linksOf(job));
        for (const [destination, { text, error }] of Object.entries(rendered)) {
          expect([destination, error]).toEqual([destination, undefined]);
          if (text?.startsWith('#!/usr/bin/env bash') || destination.endsWith('.sh'))
            await run('bash', ['-n'], { input: text ?? '' });
        }
      }
    },
  );

  it.each([
    ['500ms', 31],
    ['30s', 60],
    ['5m', 330],
    ['1h', 3630],
  ])('drain waits for a grace of %s, and half a minute more', async (grace, seconds) => {
    const drain = await renderOne('postgres-broker', 'bin/drain', { ...REQUIRED, operations: { grace } });
    expect(drain).toContain(`limit=${seconds}\n`);
  });

  it('of bbr do nothing unless they are asked for', async () => {
    for (const job of ['postgres-broker', 'postgres']) {
      const scripts = Object.values(jobSpec(job).templates).filter((destination) =>
        /^bin\/bbr\/(backup|restore|p\w+-\w+-\w+)$/.test(destination),
      );
      expect(scripts.length).toBeGreaterThanOrEqual(2);
      const rendered = await render(job, propertiesOf(job), linksOf(job));
      for (const script of scripts)
        expect(rendered[script]?.text).toMatch(/^#!.*\n# release_level_backup is false\.\nexit 0\n/);
      expect(parse((rendered['bin/bbr/metadata']?.text ?? '').split('\n').slice(2, -2).join('\n'))).toEqual({
        skip_bbr_scripts: true,
      });
    }
  });
});

describe('the server of the VM', () => {
  it.each([
    [
      'other settings of the job',
      { additional_config: { hba_file: '/tmp/x' } },
      'config/postgresql.conf',
      /hba_file is set by the job/,
    ],
    [
      'a setting of two lines',
      { additional_config: { work_mem: "1MB'\nhba_file = 'x" } },
      'config/postgresql.conf',
      /one line/,
    ],
    ['a name that is none', { additional_config: { 'a b': 1 } }, 'config/postgresql.conf', /name of a setting/],
    [
      'a superuser among the roles',
      {
        roles: [
          { name: 'broker_state', password: 'x' },
          { name: 'postgres', password: 'y' },
        ],
      },
      'config/setup.sql',
      /superuser/,
    ],
    [
      'a role without password',
      { roles: [{ name: 'broker_state', password: 'x' }, { name: 'broker' }] },
      'config/setup.sql',
      /password of broker/,
    ],
    ['one role only', { roles: [{ name: 'broker_state', password: 'x' }] }, 'config/setup.sql', /expected two/],
  ])('refuses %s', async (_, databases, destination, message) => {
    const properties = { databases: { ...(propertiesOf('postgres')['databases'] as Json), ...databases } };
    await expect(renderOne('postgres', destination, properties)).rejects.toThrow(message);
  });
});

function propertiesOf(job: string): Json {
  if (job === 'postgres-broker') return REQUIRED;
  const { properties } = databasesLink()['database'] ?? { properties: {} };
  if (job === 'postgres') return properties;
  const cf = { api_url: 'https://api', client_id: ODD, client_secret: ODD, organization: ODD, space: ODD };
  return { cf, purge_instances: true, service_access: [{ service: ODD, plans: ['a'], orgs: ['b', ODD] }] };
}

function linksOf(job: string) {
  if (job === 'postgres-broker') return databasesLink();
  const credentials = { credentials: [{ username: ODD, password: ODD }] };
  const http = { external_url: 'https://broker.example.com', port: 8080 };
  return {
    'postgres-broker': { address: '10.0.0.9', properties: { http, platform: credentials, admin: credentials } },
  };
}

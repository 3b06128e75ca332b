import { randomBytes } from 'node:crypto';
import { drawCertificate } from '../support/certificate.js';
import { type Json } from '../support/client.js';
import { type LinkProvider } from './render.js';

/** Every character that a shell, YAML, JSON, ERB, SQL or a URL gives a meaning, and some that fonts do. */
export const ODD = `q'q"q$q\${HOME}\`id\`\\n\\ %41 <%= 1 %> #{1} {{x}} ((y)) : @/?&=+ ~ ü 密 🐘`;

const secret = () => randomBytes(32).toString('base64');

export const REQUIRED: Json = {
  platform: { credentials: [{ password: 'platform-password' }] },
  admin: { credentials: [{ password: 'admin-password' }] },
  state: { encryption_keys: [{ id: 'first', secret: secret() }] },
};

/** As the job postgres of this release gives it, and postgres-release. */
export function databasesLink(properties: Json = {}): Record<string, LinkProvider> {
  const roles = [
    { name: 'broker_state', password: ODD },
    { name: 'broker', password: `${ODD}\n2` },
  ];
  const databases = { port: 5433, databases: [{ name: 'broker_state' }], roles, tls: { ca: '' } };
  return { database: { address: 'q-s0.postgres.default.bosh', properties: { databases, ...properties } } };
}

interface PropertySet {
  name: string;
  properties: Json;
  links?: Record<string, LinkProvider>;
}

const server = drawCertificate('broker.example.com');
const authority = drawCertificate('An Authority').certificate;
const EXTERNAL: Json = {
  state: { url: 'postgres://state:password@10.0.0.4:5432/state', encryption_keys: [{ id: 'first', secret: secret() }] },
  servers: [{ name: 'default', url: 'postgres://broker:password@10.0.0.4:5432/postgres' }],
};

export const PROPERTY_SETS: PropertySet[] = [
  { name: 'minimal', properties: REQUIRED, links: databasesLink() },
  { name: 'all', properties: everything() },
  { name: 'an external server', properties: { ...REQUIRED, ...EXTERNAL } },
  {
    name: 'several servers, several credentials and keys',
    properties: {
      platform: { credentials: [{ password: 'new' }, { username: 'former', password: 'old' }] },
      admin: { credentials: [{ password: 'new' }, { username: 'former', password: 'old' }] },
      state: {
        url: 'postgres://state:password@10.0.0.4:5432/state',
        encryption_keys: [
          { id: 'second', secret: secret() },
          { id: 'first', secret: secret() },
        ],
      },
      servers: [
        { name: 'first', url: 'postgres://broker:password@10.0.0.5:5432/postgres', weight: 2, sslmode: 'require' },
        { name: 'second', url: 'postgres://broker:password@10.0.0.6/postgres', accepts_new: false, ca: authority },
      ],
    },
  },
  {
    name: 'S3 with its own authority',
    properties: {
      ...REQUIRED,
      storages: [
        {
          name: 's3',
          type: 's3',
          bucket: 'backups',
          prefix: 'broker/1',
          endpoint: 'https://s3.internal:9000',
          force_path_style: true,
          access_key_id: 'id',
          secret_access_key: ODD,
          ca: authority,
        },
      ],
    },
    links: databasesLink(),
  },
  {
    name: 'TLS',
    properties: {
      ...REQUIRED,
      http: { port: 8443, external_url: 'https://broker.example.com', tls: pair(server) },
      http_ca: authority,
    },
    links: databasesLink(),
  },
  {
    name: "the users' own tokens",
    properties: {
      ...REQUIRED,
      cloud_controller: {
        url: 'https://api.system.example.com',
        ca: authority,
        dashboard_client: { id: 'client', secret: ODD },
      },
    },
    links: databasesLink(),
  },
  {
    name: 'odd characters',
    properties: {
      platform: { credentials: [{ username: 'plätform', password: ODD }] },
      admin: { credentials: [{ password: `${ODD}\nsecond line` }] },
      state: { encryption_keys: [{ id: 'first', secret: secret() }] },
    },
    links: databasesLink(),
  },
  {
    name: 'a linked server with TLS',
    properties: REQUIRED,
    links: databasesLink({
      databases: {
        port: 5432,
        databases: [{ name: 'broker_state' }],
        roles: [
          { name: 'broker_state', password: 'one' },
          { name: 'broker', password: 'two' },
        ],
        tls: { ca: authority },
      },
    }),
  },
  {
    name: 'a link of the common types',
    properties: REQUIRED,
    links: {
      database: {
        address: '2001:db8::5',
        properties: {
          adapter: 'postgres',
          port: 5432,
          tls: { ca: authority },
          username: 'broker',
          password: ODD,
          database: 'broker',
        },
      },
    },
  },
];

function everything(): Json {
  return {
    data_dir: '/var/vcap/store/postgres-broker',
    http: {
      host: '::',
      port: 8443,
      external_url: 'https://broker.example.com',
      sync_wait: '20s',
      max_upload: '1GiB',
      trusted_proxies: ['10.0.0.0/8', '192.168.1.1'],
      tls: pair(server),
    },
    http_ca: authority,
    ...REQUIRED,
    ...EXTERNAL,
    state: { ...(EXTERNAL['state'] as Json), ca: authority },
    operations: { roles: ['worker'], parallel: 4, restore_jobs: 3, deadline: '1h', grace: '1m', upload_retry: '2h' },
    catalog: { services: [service()] },
    tools: { postgres_bin_dir: '/var/vcap/packages/postgres-17/bin' },
    storages: [{ name: 'nfs', type: 'local', path: '/mnt/nfs/backups' }],
    spool: { path: '/var/vcap/data/spool', max_bytes: '10GiB' },
    backups: { keep_after_deprovision: '30d' },
    restore_points: { keep: '2h' },
    audit: { keep: '30d' },
    log: { level: 'debug', format: 'pretty' },
    cloud_controller: {
      url: 'https://api.system.example.com',
      ca: authority,
      skip_tls_verify: false,
      dashboard_client: { id: 'client', secret: 'secret' },
    },
    memory_limit: '2G',
    open_files: 1024,
    post_start_timeout: 60,
    release_level_backup: true,
  };
}

function service(): Json {
  const plan = {
    id: 'e0a3a0a4-7a51-4bd1-9a05-000000000002',
    name: 'one',
    description: 'One',
    limits: { connections: 5 },
  };
  return {
    id: 'e0a3a0a4-7a51-4bd1-9a05-000000000001',
    name: 'databases',
    description: 'Databases',
    bindable: true,
    plans: [plan],
  };
}

function pair({ certificate, privateKey }: { certificate: string; privateKey: string }): Json {
  return { certificate, private_key: privateKey };
}

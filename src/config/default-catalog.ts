/** The extensions that PostgreSQL marks as trusted: an owner may create them without being superuser. */
export const TRUSTED_EXTENSIONS = [
  'btree_gin',
  'btree_gist',
  'citext',
  'cube',
  'dict_int',
  'fuzzystrmatch',
  'hstore',
  'intarray',
  'isn',
  'lo',
  'ltree',
  'pg_trgm',
  'pgcrypto',
  'seg',
  'tablefunc',
  'tcn',
  'tsm_system_rows',
  'tsm_system_time',
  'unaccent',
  'uuid-ossp',
];

function plan(id: string, name: string, connections: number, storage: string, tempFiles: string, description: string) {
  return {
    id,
    name,
    description,
    free: true,
    bindable: true,
    plan_updateable: true,
    maintenance_info: { version: '1.0.0', description: 'first version' },
    metadata: { displayName: name, bullets: [`${connections} connections`, `${storage} of storage`] },
    limits: {
      connections,
      storage_bytes: storage,
      statement_timeout: '1h',
      idle_in_transaction_timeout: '1h',
      temp_file_limit: tempFiles,
      extensions: TRUSTED_EXTENSIONS,
    },
  };
}

/** What is offered when the configuration names no services. The GUIDs are fixed: platforms remember them. */
export const DEFAULT_SERVICES = [
  {
    id: '6b2f1f0e-5d3c-4c55-9a53-4f6f0c1a7e01',
    name: 'postgresql',
    description: 'PostgreSQL databases with backups that can be trusted',
    tags: ['postgresql', 'postgres', 'relational', 'database'],
    bindable: true,
    plan_updateable: true,
    metadata: {
      displayName: 'PostgreSQL',
      longDescription: 'A database of your own on a PostgreSQL server, with backup and restore.',
    },
    plans: [
      plan(
        '0c5e7c56-2b0d-4b8e-8d4b-0b8b3f5f6a11',
        'small',
        10,
        '1GiB',
        '1GiB',
        'For trying out and small applications',
      ),
      plan('5a4d8f3e-7e0f-4d5c-9a8e-3a6f1f6b2c22', 'medium', 40, '10GiB', '4GiB', 'For applications with steady use'),
      plan(
        '9e1b6a72-3c4f-4f1e-8f6d-7d2c5e8a4d33',
        'large',
        100,
        '100GiB',
        '16GiB',
        'For busy applications with much data',
      ),
    ],
  },
];

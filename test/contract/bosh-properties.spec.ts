import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { configSchema } from '../../src/config/schema.js';

const JOB = join(import.meta.dirname, '..', '..', 'bosh-release', 'jobs', 'postgres-broker');
/** Properties that are the job's own, and no keys of the configuration. */
const OF_THE_JOB =
  /^(database_link\.|bpm\.)|^(http_ca|post_start_timeout|open_files|memory_limit|release_level_backup)$/;
/** Where a VM of BOSH has it otherwise. */
const OTHER_DEFAULTS = ['data_dir', 'http.host', 'log.format', 'tools.postgres_bin_dir'];

const REQUIRED = {
  platform: { credentials: [{ password: 'one' }] },
  admin: { credentials: [{ password: 'two' }] },
  state: { url: 'postgres://a:b@c/d', encryption_keys: [{ id: 'first', secret: `${'k'.repeat(43)}=` }] },
  servers: [{ name: 'default', url: 'postgres://a:b@c/d' }],
};

interface Described {
  properties?: Record<string, Described>;
  items?: Described;
  oneOf?: Described[];
  anyOf?: Described[];
}
interface Property {
  description: string;
  default?: unknown;
}

const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as Described;
const keys = leaves(schema);
const spec = parse(readFileSync(join(JOB, 'spec'), 'utf8')) as { properties: Record<string, Property> };
const properties = Object.entries(spec.properties).filter(([name]) => !OF_THE_JOB.test(name));

describe('the properties of the BOSH job postgres-broker', () => {
  it('are the keys of the configuration (add new ones to its spec)', () => {
    expect(properties.map(([name]) => name).sort()).toEqual(Object.keys(keys).sort());
  });

  it('are all rendered (add new ones to broker.json.erb)', () => {
    const template = readFileSync(join(JOB, 'templates', 'broker.json.erb'), 'utf8');
    const listed = /keys = %w\[([^\]]*)\]/.exec(template)?.[1]?.trim().split(/\s+/);
    expect(listed?.sort()).toEqual(Object.keys(keys).sort());
  });

  it('have the defaults of the configuration, but for four', () => {
    for (const [name, { default: given }] of properties) {
      if (given === undefined || OTHER_DEFAULTS.includes(name)) continue;
      expect([name, configWith(name, given)]).toEqual([name, configSchema.parse(REQUIRED)]);
    }
  });

  it('are described with what the items of lists hold', () => {
    for (const [name, { description }] of properties)
      for (const key of itemKeys(keys[name]))
        expect([name, key, new RegExp(`\\b${key}\\b`).test(description)]).toEqual([name, key, true]);
  });
});

function configWith(name: string, value: unknown): unknown {
  const config = structuredClone(REQUIRED) as Record<string, unknown>;
  const sections = name.split('.');
  const last = sections.pop() ?? '';
  const tree = sections.reduce((each, key) => (each[key] ??= {}) as Record<string, unknown>, config);
  tree[last] = value;
  return configSchema.parse(config);
}

/** Keys by their paths; a list is one key, whatever its items are. */
function leaves(tree: Described, path = ''): Record<string, Described> {
  const entries = Object.entries(tree.properties ?? {});
  if (entries.length === 0) return { [path.slice(0, -1)]: tree };
  return Object.assign({}, ...entries.map(([key, child]) => leaves(child, `${path}${key}.`))) as Record<
    string,
    Described
  >;
}

function itemKeys(list: Described | undefined): string[] {
  const kinds = list?.items ? (list.items.oneOf ?? list.items.anyOf ?? [list.items]) : [];
  return kinds.flatMap((kind) => Object.keys(kind.properties ?? {}));
}

import { z } from 'zod';
import { configSchema } from './schema.js';

interface Described {
  type?: string;
  description?: string;
  accepts?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  minimum?: number;
  maximum?: number;
  properties?: Record<string, Described>;
  required?: string[];
  items?: Described;
  oneOf?: Described[];
  anyOf?: Described[];
}

const INTRODUCTION = `# Configuration

<!-- Written by \`npm run docs\` from the schema in src/config. -->

One file, YAML or JSON, named by the environment variable \`BROKER_CONFIG\`; [config/example.yml](../config/example.yml)
is one to start from. Environment variables go before the file where a key names one. A key without a value counts as
absent; a key that is not listed here is a fault. \`npm start -- --check-config\` lists every fault at once, each with
its path and what was expected; a broker that is started with a fault does the same and exits with 78.

A duration is \`500ms\`, \`30s\`, \`10m\`, \`24h\` or \`7d\`; a size is \`512B\`, \`64KiB\`, \`8MiB\`, \`100GiB\` or \`1TiB\`. In a file,
\`servers[].url\` stands for \`url\` in each item of the list \`servers\`.
`;

/** The reference of every key, in Markdown: meaning, what is accepted, default. */
export function configurationDocs(): string {
  const root = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as Described;
  const sections = Object.entries(root.properties ?? {}).map(([key, schema]) => {
    const keys = keysOf(key, schema, isRequired(root, key));
    const purpose = childrenOf(schema.items ?? schema).length > 0 ? schema.description : undefined;
    return [`## ${key}`, purpose ?? '', keys.join('\n')].filter(Boolean).join('\n\n');
  });
  return `${[INTRODUCTION.trim(), ...sections].join('\n\n')}\n`;
}

function keysOf(path: string, schema: Described, required: boolean): string[] {
  if (schema.items && childrenOf(schema.items).length > 0)
    return childrenOf(schema.items).flatMap((child) => entry(`${path}[]`, child));
  if (childrenOf(schema).length > 0) return childrenOf(schema).flatMap((child) => entry(path, child));
  return [line(path, schema, required)];
}

interface Child {
  key: string;
  schema: Described;
  required: boolean;
}

function entry(parent: string, { key, schema, required }: Child): string[] {
  const path = `${parent}.${key}`;
  const nested = childrenOf(schema).length > 0 || (schema.items !== undefined && childrenOf(schema.items).length > 0);
  return nested ? [line(path, schema, required), ...keysOf(path, schema, required)] : [line(path, schema, required)];
}

function childrenOf(schema: Described): Child[] {
  if (schema.properties)
    return Object.entries(schema.properties).map(([key, child]) => ({
      key,
      schema: child,
      required: isRequired(schema, key),
    }));
  const all = (schema.oneOf ?? schema.anyOf ?? []).flatMap(childrenOf);
  const types = all
    .filter(({ schema: { const: only } }) => only !== undefined)
    .map(({ schema: { const: only } }) => only);
  return all
    .filter(({ key }, index) => all.findIndex((other) => other.key === key) === index)
    .map((child) =>
      child.schema.const === undefined
        ? { ...child, required: false }
        : { ...child, schema: { enum: types, description: 'Which kind it is.' } },
    );
}

function line(path: string, schema: Described, required: boolean): string {
  const facts = [accepted(schema), required ? 'required' : defaultOf(schema)].filter(Boolean).join('; ');
  return `- \`${path}\`${facts === '' ? '' : ` (${facts})`}: ${schema.description ?? ''}`.trimEnd();
}

function accepted(schema: Described): string {
  if (schema.accepts !== undefined) return schema.accepts;
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.items) {
    const each = accepted(schema.items);
    return childrenOf(schema.items).length > 0 || each === '' ? 'a list' : `a list, each ${each}`;
  }
  if (schema.type === 'boolean') return '`true` or `false`';
  if (schema.type === 'integer' || schema.type === 'number') return numberRange(schema);
  return schema.type === 'string' ? 'a text' : '';
}

function numberRange({ type, minimum, maximum }: Described): string {
  const what = type === 'integer' ? 'a whole number' : 'a number';
  const bounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  return minimum !== undefined && bounded ? `${what} from ${minimum} to ${maximum}` : what;
}

function defaultOf(schema: Described): string {
  if (schema.default === undefined || childrenOf(schema).length > 0) return '';
  return `default \`${typeof schema.default === 'string' ? schema.default : JSON.stringify(schema.default)}\``;
}

function isRequired(parent: Described, key: string): boolean {
  return parent.required?.includes(key) ?? false;
}

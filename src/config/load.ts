import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { type z } from 'zod';
import { type BrokerConfig, configSchema } from './schema.js';
import { toolFolder } from './tool-folder.js';

type Tree = Record<string, unknown>;

/** The configuration cannot be used; `faults` lists every reason, each as `path: what was expected`. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';

  constructor(readonly faults: readonly string[]) {
    super(`the configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n  ${faults.join('\n  ')}`);
  }
}

/**
 * Reads the file that `BROKER_CONFIG` names, lays the environment over it, and where neither `state.url` nor
 * `servers` is given, what the embedded mode has left in the data folder under both (or what `embedded` gives).
 * @throws ConfigurationError listing every fault at once.
 */
export function loadConfig(
  env: NodeJS.ProcessEnv = process.env,
  embedded: (dataDir: string) => object = readEmbedded,
): BrokerConfig {
  const configured = readConfigured(env);
  const merged = isEmbedded(configured) ? overlay({ ...embedded(dataDir(configured)) }, configured) : configured;
  const parsed = configSchema.safeParse(merged);
  const faults = [...pairFaults(configured), ...(parsed.success ? [] : parsed.error.issues.flatMap(describe))];
  if (!parsed.success || faults.length > 0)
    throw new ConfigurationError([...new Set(faults.map((fault) => atItsSource(fault, env)))]);
  return freeze(parsed.data);
}

/** Whether the private PostgreSQL of `npm start` is used, and where its data live. */
export function embeddedMode(env: NodeJS.ProcessEnv = process.env): { embedded: boolean; dataDir: string } {
  const configured = readConfigured(env);
  return { embedded: isEmbedded(configured), dataDir: dataDir(configured) };
}

function readConfigured(env: NodeJS.ProcessEnv): Tree {
  const file = env['BROKER_CONFIG'];
  return withEnvironment(file ? withoutNulls(readTree(file, 'BROKER_CONFIG')) : {}, env);
}

function readTree(file: string, named: string): Tree {
  const tree = parseYaml(readText(file, named), `${named}: cannot read ${file}`) ?? {};
  if (!isTree(tree)) throw new ConfigurationError([`${named}: expected ${file} to hold keys and values`]);
  return tree;
}

function readText(file: string, named: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigurationError([
      `${named}: cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
    ]);
  }
}

/** The parser's own messages quote what they complain about, and that may be a secret: place and kind only. */
function parseYaml(text: string, what: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const faults = [...document.errors, ...document.warnings].map(({ code, pos }) => {
    const { line, col } = lineCounter.linePos(pos[0]);
    return `${what}: line ${line}, column ${col}: ${code.toLowerCase().replaceAll('_', ' ')}`;
  });
  if (faults.length > 0) throw new ConfigurationError(faults);
  try {
    return document.toJS();
  } catch {
    throw new ConfigurationError([`${what}: an alias in it (*name) has no anchor before it`]);
  }
}

/** A key without a value (`ca: `) is an absent one, and so is a section of which nothing else is left. */
function withoutNulls(tree: Tree): Tree {
  const entries = Object.entries(tree).flatMap(([key, value]): [string, unknown][] => {
    if (value === null) return [];
    if (key === 'catalog') return [[key, value]];
    const kept = Array.isArray(value)
      ? value.map((item: unknown) => (isTree(item) ? withoutNulls(item) : item))
      : isTree(value)
        ? withoutNulls(value)
        : value;
    const emptied = isTree(value) && isTree(kept) && Object.keys(value).length > 0 && Object.keys(kept).length === 0;
    return emptied ? [] : [[key, kept]];
  });
  return Object.fromEntries(entries);
}

function withEnvironment(file: Tree, env: NodeJS.ProcessEnv): Tree {
  const tree = { ...file };
  const http = definedOnly({ host: env['BROKER_HOST'], port: portOf(env['BROKER_PORT'] || env['PORT']) });
  if (Object.keys(http).length > 0) tree['http'] = { ...(isTree(tree['http']) ? tree['http'] : {}), ...http };
  if (env['BROKER_DATA_DIR']) tree['data_dir'] = env['BROKER_DATA_DIR'];
  const tools = toolFolder(env, tree['tools']);
  if (tools !== undefined) tree['tools'] = { postgres_bin_dir: tools };
  for (const realm of ['platform', 'admin']) {
    const prefix = `BROKER_${realm.toUpperCase()}`;
    const given = definedOnly({ username: env[`${prefix}_USERNAME`], password: env[`${prefix}_PASSWORD`] });
    if (Object.keys(given).length === 0) continue;
    const first =
      isTree(tree[realm]) && Array.isArray(tree[realm]['credentials']) ? (tree[realm]['credentials'] as unknown[]) : [];
    tree[realm] = { credentials: [{ ...(isTree(first[0]) ? first[0] : {}), ...given }, ...first.slice(1)] };
  }
  return tree;
}

/** A port that comes from the environment is not looked for in the file. */
function atItsSource(fault: string, env: NodeJS.ProcessEnv): string {
  const variable = ['BROKER_PORT', 'PORT'].find((name) => env[name]);
  return variable === undefined ? fault : fault.replace(/^http\.port:/, `${variable} (http.port):`);
}

function portOf(text: string | undefined): unknown {
  return text === undefined || text === '' ? undefined : /^\d+$/.test(text) ? Number(text) : text;
}

function definedOnly(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([, value]) => value !== undefined && value !== ''));
}

function isEmbedded(configured: Tree): boolean {
  return !hasStateUrl(configured) && configured['servers'] === undefined;
}

function hasStateUrl(configured: Tree): boolean {
  return isTree(configured['state']) && typeof configured['state']['url'] === 'string';
}

function pairFaults(configured: Tree): string[] {
  if (hasStateUrl(configured) === (configured['servers'] !== undefined)) return [];
  return hasStateUrl(configured)
    ? ['servers: expected at least one server, as state.url is set']
    : ['state.url: expected the URL of the state database, as servers is set'];
}

function dataDir(configured: Tree): string {
  return resolve(typeof configured['data_dir'] === 'string' ? configured['data_dir'] : '.data');
}

function readEmbedded(folder: string): Tree {
  const file = resolve(folder, 'embedded.json');
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Tree;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new ConfigurationError([`data_dir: cannot read ${file}`]);
    throw new ConfigurationError([
      `state.url, servers: neither is set and there is no embedded PostgreSQL in ${folder}: set both, or start with npm start`,
    ]);
  }
}

function overlay(under: Tree, over: Tree): Tree {
  const merged = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] =
      isTree(below) && isTree(value)
        ? overlay(below, value)
        : Array.isArray(below) && Array.isArray(value)
          ? overItems(below, value)
          : value;
  }
  return merged;
}

/** A credential that names only its user keeps the generated password. */
function overItems(below: unknown[], over: unknown[]): unknown[] {
  return over.map((item, index) => (isTree(item) && isTree(below[index]) ? { ...below[index], ...item } : item));
}

function describe(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${[at, key].filter(Boolean).join('.')}: unknown key`);
  return [`${at || 'configuration'}: ${issue.message.replace(/^Invalid input: /, '')}`];
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}

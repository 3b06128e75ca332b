import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse, stringify } from 'yaml';
import { run } from '../../embedded/run.mjs';
import { type Json } from '../support/client.js';
import { boshRun } from './bosh-run.js';
import { jobSpec, render, type LinkProvider } from './render.js';

const { bosh, release, folder } = boshRun();
const OPERATIONS = join(release, 'manifests', 'operations');
/** In the order in which they are to be laid; the second of a pair follows the first. */
const FILES = [
  'enable-bbr',
  'enable-tls',
  'use-route-registrar',
  's3-store',
  's3-endpoint',
  'use-external-postgres',
  'add-errands',
];
const OWN = /postgresql-broker/;

interface Job {
  name: string;
  release: string;
  properties?: Json;
  consumes?: Record<string, { from?: string } | string>;
}
interface Manifest {
  releases: { name: string }[];
  instance_groups: { name: string; jobs: Job[] }[];
  variables: { name: string }[];
}

describe('the manifest', () => {
  let work: string;
  beforeAll(() => {
    work = mkdtempSync(join(folder, 'manifests-'));
    writeFileSync(join(work, 'given.yml'), stringify(GIVEN));
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  const interpolate = async (operations: string[], more: string[] = []): Promise<string> =>
    run(bosh, [
      'interpolate',
      join(release, 'manifests', 'postgres-broker.yml'),
      ...operations.flatMap((name) => ['--ops-file', join(OPERATIONS, `${name}.yml`)]),
      `--vars-file=${join(work, 'given.yml')}`,
      '--var-errs',
      ...more,
    ]);

  it('names every file of operations here', () => {
    expect(
      readdirSync(OPERATIONS)
        .map((name) => basename(name, '.yml'))
        .sort(),
    ).toEqual([...FILES].sort());
  });

  it('is whole with every combination of operations', async () => {
    for (const operations of combinations()) {
      const store = join(work, 'store.yml');
      const manifest = parse(await interpolate(operations, [`--vars-store=${store}`])) as Manifest;
      const names = manifest.releases.map(({ name }) => name);
      for (const { jobs } of manifest.instance_groups)
        for (const job of jobs) expect([operations, names.includes(job.release)]).toEqual([operations, true]);
    }
  });

  it('is refused where a variable is missing', async () => {
    writeFileSync(join(work, 'none.yml'), '{}');
    await expect(interpolate(['s3-store'], [`--vars-file=${join(work, 'none.yml')}`])).rejects.toThrow();
    const rest = { ...GIVEN };
    delete rest['s3_bucket'];
    writeFileSync(join(work, 'given.yml'), stringify(rest));
    await expect(interpolate(['s3-store'])).rejects.toThrow();
    writeFileSync(join(work, 'given.yml'), stringify(GIVEN));
  });

  it.each([
    { operations: [] },
    { operations: ['enable-bbr', 'use-route-registrar', 's3-store', 's3-endpoint', 'add-errands'] },
    { operations: ['enable-tls', 'use-external-postgres'] },
  ])('renders with $operations, and sets only properties that there are', async ({ operations }) => {
    const manifest = parse(await interpolate(operations, [`--vars-store=${join(work, 'store.yml')}`])) as Manifest;
    const jobs = manifest.instance_groups.flatMap((group) => group.jobs).filter((job) => OWN.test(job.release));
    for (const job of jobs) {
      const declared = Object.keys(jobSpec(job.name).properties ?? {});
      for (const name of leaves(job.properties ?? {}))
        expect([job.name, name, declared.some((each) => name === each || name.startsWith(`${each}.`))]).toEqual([
          job.name,
          name,
          true,
        ]);
      const rendered = await render(job.name, job.properties ?? {}, linksOf(job, jobs));
      expect(Object.entries(rendered).filter(([, { error }]) => error)).toEqual([]);
    }
  });
});

/** Of every job that is in the deployment and provides it. */
function linksOf(job: Job, jobs: Job[]): Record<string, LinkProvider> {
  const links: Record<string, LinkProvider> = {};
  for (const { name, type } of jobSpec(job.name).consumes ?? []) {
    if (job.consumes?.[name] === 'nil') continue;
    for (const provider of jobs)
      for (const provided of jobSpec(provider.name).provides ?? [])
        if (provided.type === type) links[name] = { address: '10.0.0.7', properties: withDefaults(provider) };
  }
  return links;
}

function withDefaults({ name, properties = {} }: Job): Json {
  const all = structuredClone(properties);
  for (const [key, { default: value }] of Object.entries(jobSpec(name).properties ?? {})) {
    const sections = key.split('.');
    const last = sections.pop() ?? '';
    const tree = sections.reduce<Json>((each, section) => (each[section] ??= {}) as Json, all);
    tree[last] ??= value;
  }
  return all;
}

function leaves(tree: Json, path = ''): string[] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? leaves(value as Json, `${path}${key}.`)
      : [`${path}${key}`],
  );
}

function combinations(): string[][] {
  const all = Array.from({ length: 2 ** FILES.length }, (_, bits) =>
    FILES.filter((_file, index) => (bits >> index) & 1),
  );
  return all.filter((files) => !files.includes('s3-endpoint') || files.includes('s3-store'));
}

const PEM =
  readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8').split('-----END CERTIFICATE-----')[0] +
  '-----END CERTIFICATE-----\n';
/** What an operator gives; the rest `--vars-store` makes. */
const GIVEN: Json = {
  broker_url: 'http://10.0.0.7:8080',
  broker_host: 'postgresql-broker.system.example.com',
  cf_deployment_name: 'cf',
  nats_client_cert: { certificate: PEM, private_key: 'key' },
  external_state_url: 'postgres://state:password@10.0.0.4:5432/state',
  external_server_url: 'postgres://broker:password@10.0.0.4:5432/postgres',
  s3_bucket: 'backups',
  s3_prefix: 'broker',
  s3_region: 'eu-central-1',
  s3_access_key_id: 'id',
  s3_secret_access_key: 'secret',
  s3_endpoint: 'https://s3.internal:9000',
  s3_ca: PEM,
  cf_api_url: 'https://api.system.example.com',
  cf_client_id: 'client',
  cf_client_secret: 'secret',
  cf_ca: PEM,
  smoke_tests_organization: 'system',
  smoke_tests_space: 'smoke-tests',
};

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from '../../embedded/run.mjs';
import { jobSpec } from './render.js';

const SECRETS = /password|secret|credentials$|encryption_keys$|private_key$|databases\.roles$/;

/** What `bosh create-release` accepts and a deployment, or its operator, would stumble over. */
export async function releaseFaults(release: string): Promise<string[]> {
  const jobs = readdirSync(join(release, 'jobs'));
  const ofJobs = await Promise.all(jobs.map((job) => jobFaults(release, job)));
  return [...ofJobs.flat(), ...linkFaults(release)];
}

async function jobFaults(release: string, job: string): Promise<string[]> {
  const folder = join(release, 'jobs', job);
  const spec = jobSpec(job, release);
  const faults: string[] = [];
  if (!existsSync(join(folder, 'monit'))) faults.push(`${job}: no monit file`);
  for (const [name, property] of Object.entries(spec.properties ?? {})) {
    if (!property.description) faults.push(`${job}: ${name}: no description`);
    // Certificates and keys that are left empty turn TLS off.
    if (SECRETS.test(name) && property.default !== undefined && property.default !== '')
      faults.push(`${job}: ${name}: a secret has no default`);
  }
  const files = filesBelow(join(folder, 'templates')).map((file) => relative(join(folder, 'templates'), file));
  for (const file of files) if (!(file in spec.templates)) faults.push(`${job}: ${file} is no template of the spec`);
  const declared = Object.keys(spec.properties ?? {});
  for (const file of Object.keys(spec.templates)) {
    const path = join(folder, 'templates', file);
    if (!existsSync(path)) continue;
    const text = readFileSync(path, 'utf8');
    faults.push(...undeclared(text, declared).map((name) => `${job}: ${file}: undeclared property ${name}`));
    if (file.endsWith('.erb')) faults.push(...(await syntaxFaults(path)).map((fault) => `${job}: ${file}: ${fault}`));
  }
  return faults;
}

/** Of the job's own properties: those of a link are another job's. */
function undeclared(text: string, declared: string[]): string[] {
  const asked = [...text.matchAll(/(?<![.\w])(?:if_)?p\('([^']+)'/g)].map(([, name]) => name ?? '');
  return asked.filter((name) => !declared.includes(name));
}

async function syntaxFaults(file: string): Promise<string[]> {
  const script = "require 'erb'; puts ERB.new(File.read(ARGV[0]), trim_mode: '-').src";
  try {
    const source = await run('ruby', ['-e', script, file]);
    await run('ruby', ['-c'], { input: source });
    return [];
  } catch (error) {
    return [error instanceof Error ? `broken: ${error.message}` : 'broken'];
  }
}

function linkFaults(release: string): string[] {
  return filesBelow(join(release, 'src'))
    .filter((file) => !existsSync(file))
    .map((file) => `${relative(release, file)} leads nowhere`);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

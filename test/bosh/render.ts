import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { run } from '../../embedded/run.mjs';
import { type Json } from '../support/client.js';
import { boshRun } from './bosh-run.js';

export interface LinkProvider {
  address: string;
  properties: Json;
}

export interface Rendered {
  text?: string;
  error?: string;
}

interface JobSpec {
  name: string;
  templates: Record<string, string>;
  packages: string[];
  properties?: Record<string, { description?: string; default?: unknown; example?: unknown }>;
  provides?: { name: string; type: string; properties: string[] }[];
  consumes?: { name: string; type: string; optional?: boolean }[];
}

function jobFolder(job: string, release = boshRun().release): string {
  return join(release, 'jobs', job);
}

export function jobSpec(job: string, release?: string): JobSpec {
  return parse(readFileSync(join(jobFolder(job, release), 'spec'), 'utf8')) as JobSpec;
}

/** All templates of a job with these properties, by their destinations. */
export async function render(
  job: string,
  properties: Json,
  links: Record<string, LinkProvider> = {},
  release?: string,
): Promise<Record<string, Rendered>> {
  const input = JSON.stringify({ job: jobFolder(job, release), properties, links });
  const text = await run('ruby', [join(import.meta.dirname, 'render.rb')], { input });
  return JSON.parse(text) as Record<string, Rendered>;
}

/** One of them. @throws what the rendering failed with */
export async function renderOne(
  job: string,
  destination: string,
  properties: Json,
  links?: Record<string, LinkProvider>,
): Promise<string> {
  const rendered = (await render(job, properties, links))[destination];
  if (rendered?.text === undefined) throw new Error(rendered?.error ?? `${job} has no template ${destination}`);
  return rendered.text;
}

import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Socket } from 'node:net';
import { run } from '../../embedded/run.mjs';
import { type RunningBroker } from './broker.js';
import { type Answer, basic, type Call } from './client.js';
import { type Cluster } from './cluster.js';
import { sql } from './sql.js';
import { testRun } from './test-run.js';
import { until } from './until.js';

let databases = 0;

/** An archive of a database that somebody else made, as superuser, on this cluster. */
export async function foreignArchive(cluster: Cluster, text: string, args: string[] = ['-Fc']): Promise<Buffer> {
  const database = `foreign_${++databases}`;
  await sql(cluster.superuserUrl(), `CREATE DATABASE ${database} TEMPLATE template0`);
  await sql(cluster.superuserUrl(database), text);
  const file = join(tmpdir(), `${database}-${process.pid}.dump`);
  const url = new URL(cluster.superuserUrl(database));
  try {
    await run(join(testRun().postgres.bin, 'pg_dump'), [...args, '-f', file], {
      env: {
        PATH: process.env['PATH'],
        PGHOST: cluster.host,
        PGPORT: String(cluster.port),
        PGUSER: url.username,
        PGPASSWORD: url.password,
        PGDATABASE: database,
      },
    });
    return await readFile(file);
  } finally {
    await rm(file, { force: true });
    await sql(cluster.superuserUrl(), `DROP DATABASE ${database} WITH (FORCE)`);
  }
}

export function uploadPath(instance: string, name: string): string {
  return `/upload_backup/${encodeURIComponent(instance)}/${encodeURIComponent(name)}`;
}

export function upload(
  broker: RunningBroker,
  [instance, name]: [string, string],
  archive: Buffer,
  call: Call = {},
  method = 'PUT',
): Promise<Answer> {
  const headers = { 'content-type': 'application/octet-stream', ...call.headers };
  return broker.admin.send(method, uploadPath(instance, name), { ...call, headers, raw: archive });
}

export function digestOf(bytes: Buffer): string {
  return `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
}

/** A connection on which a test sends what it likes. */
export interface RawCall {
  socket: Socket;
  /** What has come so far. */
  text(): string;
  /** Once it says so. */
  says(pattern: RegExp): Promise<string>;
  closed: Promise<void>;
}

/** Sends the head of an upload, with its headers as they are given. */
export function rawUpload(broker: RunningBroker, path: string, headers: Record<string, string>): RawCall {
  const { hostname, port } = new URL(broker.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.on('error', () => undefined);
  const all = {
    host: 'broker',
    authorization: basic(broker.home.admin),
    'content-type': 'application/octet-stream',
    ...headers,
  };
  const lines = Object.entries(all).map(([key, value]) => `${key}: ${value}\r\n`);
  socket.write(`PUT ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  return {
    socket,
    text: () => text,
    says: (pattern) => until(`${pattern} in ${text}`, () => pattern.exec(text)?.[0]),
    closed: new Promise((resolve) => socket.once('close', () => resolve())),
  };
}

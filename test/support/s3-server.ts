import './one-error-class.js';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3 } from '@aws-sdk/client-s3';
import { findFreePort } from '../../embedded/server.mjs';
import { versitygwBinary } from '../../embedded/versitygw.mjs';
import { keepSecret } from './run-log.js';
import { until } from './until.js';

export interface S3Keys {
  accessKeyId: string;
  secretAccessKey: string;
}

/** A real S3 server on a port of its own; it ends with this process, even when that is killed. */
export interface S3Server {
  readonly endpoint: string;
  readonly port: number;
  readonly pid: number;
  /** Of the owner, who may do everything. */
  readonly keys: S3Keys;
  /** Of a user without any right. */
  readonly stranger: S3Keys;
  /** Its files: an object is one below its bucket's folder. */
  readonly dir: string;
  /** A client that looks past the code under test. */
  readonly client: S3;
  /** Makes a bucket under a name of its own. */
  makeBucket(): Promise<string>;
  stop(): Promise<void>;
  /** Again, on the same port and with the same files. */
  start(): Promise<void>;
  /** Stops it and removes its files. */
  remove(): Promise<void>;
}

/** @param dir where the server keeps its files; default: a folder that `remove` deletes */
export async function startS3Server(dir?: string): Promise<S3Server> {
  const binary = await versitygwBinary();
  const home = mkdtempSync(join(tmpdir(), 'broker-s3-'));
  const files = dir ?? join(home, 'files');
  const keys = drawKeys();
  const stranger = drawKeys();
  mkdirSync(files, { recursive: true });
  writeUsers(join(home, 'iam'), stranger);
  let process: ChildProcess;
  let port = 0;
  const begin = async (on?: number) => {
    for (;;) {
      port = on ?? (await findFreePort());
      const log = join(home, 'log');
      process = launch(binary, { port, iam: join(home, 'iam'), files, log, keys });
      if (await isUp(process, port)) return;
      const said = readFileSync(log, 'utf8');
      if (on !== undefined || !/address already in use/i.test(said))
        throw new Error(`versitygw did not start: ${said}`);
    }
  };
  await begin();
  const endpoint = `http://127.0.0.1:${port}`;
  const client = clientOf(endpoint, keys);
  await judge(endpoint, keys, stranger);
  const stop = () => end(process);
  return {
    endpoint,
    port,
    get pid() {
      return process.pid ?? 0;
    },
    keys,
    stranger,
    dir: files,
    client,
    makeBucket: async () => {
      const Bucket = `b-${randomBytes(6).toString('hex')}`;
      await client.createBucket({ Bucket });
      return Bucket;
    },
    stop,
    start: () => begin(port),
    remove: async () => {
      client.destroy();
      await stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function drawKeys(): S3Keys {
  const keys = { accessKeyId: `k${randomBytes(9).toString('hex')}`, secretAccessKey: randomBytes(20).toString('hex') };
  keepSecret(keys.secretAccessKey);
  return keys;
}

function writeUsers(folder: string, { accessKeyId, secretAccessKey }: S3Keys): void {
  mkdirSync(folder);
  const account = { access: accessKeyId, secret: secretAccessKey, role: 'user', userID: 0, groupID: 0, projectID: 0 };
  writeFileSync(join(folder, 'users.json'), JSON.stringify({ accessAccounts: { [accessKeyId]: account } }));
}

interface Launch {
  port: number;
  iam: string;
  files: string;
  log: string;
  keys: S3Keys;
}

function launch(binary: string, { port, iam, files, log, keys }: Launch): ChildProcess {
  const command = [binary, '--quiet', '--keep-alive', '--port', `127.0.0.1:${port}`, '--health', '/health'];
  command.push('--iam-dir', iam, 'posix', files);
  if (process.platform === 'linux') command.unshift('setpriv', '--pdeathsig', 'KILL');
  const [program = '', ...args] = command;
  const env = { ...process.env, ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey };
  const output = openSync(log, 'w');
  const child = spawn(program, args, { env, stdio: ['ignore', output, output] });
  closeSync(output);
  return child;
}

async function isUp(child: ChildProcess, port: number): Promise<boolean> {
  let running = true;
  child.once('exit', () => (running = false));
  child.once('error', () => (running = false));
  return until(
    'the S3 server',
    async () => {
      if (!running) return 'ended' as const;
      const answer = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
      return answer?.ok === true && ('up' as const);
    },
    { everyMs: 10 },
  ).then((state) => state === 'up' && running);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill('SIGKILL');
  await ended;
}

function clientOf(endpoint: string, credentials: S3Keys): S3 {
  return new S3({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials, maxAttempts: 1 });
}

/** A server that lets anybody in is no judge of ours. */
async function judge(endpoint: string, keys: S3Keys, stranger: S3Keys): Promise<void> {
  const cases: [string, S3Keys][] = [
    ['SignatureDoesNotMatch', { ...keys, secretAccessKey: 'wrong' }],
    ['InvalidAccessKeyId', drawKeys()],
    ['AccessDenied', stranger],
  ];
  for (const [expected, credentials] of cases) {
    const client = clientOf(endpoint, credentials);
    const outcome = await client.createBucket({ Bucket: 'judged' }).then(
      () => 'success',
      (error: unknown) => (error instanceof Error ? error.name : String(error)),
    );
    client.destroy();
    if (outcome !== expected) throw new Error(`the S3 server is no judge: expected ${expected}, got ${outcome}`);
  }
}

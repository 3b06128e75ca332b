import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { createSteps } from '../embedded/steps.mjs';
import { findFreePort } from '../embedded/server.mjs';
import { versitygwBinary } from '../embedded/versitygw.mjs';
import { makeFolder, removeFolder } from './bench-folder.mjs';

const BUCKET = 'backups';

/** A real S3 server on this machine, its files on the same disk as all else. */
export async function startS3Server() {
  const binary = await versitygwBinary({ steps: createSteps() });
  const folder = makeFolder('s3');
  const files = join(folder, 'files');
  mkdirSync(files);
  const keys = { accessKeyId: randomBytes(8).toString('hex'), secretAccessKey: randomBytes(16).toString('hex') };
  const port = await findFreePort();
  const command = [binary, '--quiet', '--port', `127.0.0.1:${port}`, '--health', '/health', 'posix', files];
  if (process.platform === 'linux') command.unshift('setpriv', '--pdeathsig', 'KILL');
  const [program = '', ...args] = command;
  const env = { ...process.env, ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey };
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const endpoint = `http://127.0.0.1:${port}`;
  while (!(await isUp(endpoint))) {
    if (child.exitCode !== null) throw new Error('versitygw did not start');
    await wait(50);
  }
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials: keys });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  client.destroy();
  return {
    /** As the broker's configuration has it. */
    storage: {
      name: 's3',
      type: 's3',
      bucket: BUCKET,
      endpoint,
      force_path_style: true,
      access_key_id: keys.accessKeyId,
      secret_access_key: keys.secretAccessKey,
    },
    end: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      removeFolder(folder);
    },
  };
}

/** @param {string} endpoint */
async function isUp(endpoint) {
  const answer = await fetch(`${endpoint}/health`).catch(() => undefined);
  return answer?.ok === true;
}

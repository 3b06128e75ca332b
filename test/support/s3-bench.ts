import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type S3StorageConfig } from '../../src/config/storages.js';
import { Secret } from '../../src/config/secret.js';
import { type S3Timing } from '../../src/storage/s3-timing.js';
import { S3Storage } from '../../src/storage/s3-storage.js';
import { type StorageBench } from './storage-bench.js';
import { type S3Keys, type S3Server } from './s3-server.js';

/** What takes minutes in life is over in seconds here. */
export const QUICK: S3Timing = {
  connect: 1_000,
  silence: 1_000,
  attempts: 4,
  backoff: 20,
  patience: 1_000,
  assembly: 20_000,
  settling: 300,
  farewell: 1_000,
};

/** Times that a busy machine keeps to: for tests in which nothing is meant to hang. */
export const UNHURRIED: S3Timing = { ...QUICK, connect: 20_000, silence: 30_000, patience: 30_000, farewell: 10_000 };

export function s3Config(
  { endpoint, keys }: { endpoint: string; keys: S3Keys },
  bucket: string,
  more: Partial<S3StorageConfig> = {},
): S3StorageConfig {
  return {
    name: 's3',
    type: 's3',
    bucket,
    prefix: '',
    endpoint,
    force_path_style: true,
    access_key_id: keys.accessKeyId,
    secret_access_key: new Secret(keys.secretAccessKey),
    ...more,
  };
}

/** A bucket of its own. */
export async function openS3Bench(server: S3Server, prefix: string): Promise<StorageBench> {
  const bucket = await server.makeBucket();
  const folder = join(server.dir, bucket);
  const config = s3Config(server, bucket, { prefix });
  const [provider, other] = [new S3Storage(config, UNHURRIED), new S3Storage(config, UNHURRIED)];
  const place = (key: string) => {
    mkdirSync(dirname(join(folder, key)), { recursive: true });
    writeFileSync(join(folder, key), 'x');
  };
  return {
    provider,
    other,
    seed: (keys) => Promise.resolve(keys.forEach((key) => place(prefix + key))),
    litter: async () => {
      for (const key of [`${prefix}.hidden`, `${prefix}a/name with spaces`, `${prefix}a/ä+%20&`, 'other/1.dump'])
        await server.client.putObject({ Bucket: bucket, Key: key, Body: 'x' });
    },
    leftovers: () => uploadsIn(server, bucket),
    close: () => {
      provider.close();
      other.close();
      // The server may still be clearing away what was cut off.
      rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
      return Promise.resolve();
    },
  };
}

/** Multipart uploads that have neither ended nor been given up, and what the server itself has left of any. */
export async function uploadsIn({ client, dir }: S3Server, bucket: string): Promise<string[]> {
  const { Uploads = [] } = await client.listMultipartUploads({ Bucket: bucket });
  const work = join(dir, bucket, '.sgwtmp');
  const files = existsSync(work) ? readdirSync(work, { recursive: true, withFileTypes: true }) : [];
  return [
    ...Uploads.map(({ Key, UploadId }) => `${Key} ${UploadId}`),
    ...files.filter((file) => !file.isDirectory()).map((file) => join(file.parentPath, file.name)),
  ];
}

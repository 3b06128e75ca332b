import { S3Storage } from '../../src/storage/s3-storage.js';
import { openS3Bench, QUICK, s3Config, UNHURRIED } from '../support/s3-bench.js';
import { startS3Server, type S3Keys, type S3Server } from '../support/s3-server.js';
import { mountSmallDisk } from '../support/small-disk.js';
import { EVERY_CALL, MIB, type StorageFault } from '../support/storage-bench.js';
import { describeStorage } from './storage-contract.js';

let server: S3Server;
beforeAll(async () => {
  server = await startS3Server();
});
afterAll(() => server.remove());

const secretsOf = ({ accessKeyId, secretAccessKey }: S3Keys) => [accessKeyId, secretAccessKey];

function withKeys(keys: () => S3Keys): StorageFault['arrange'] {
  return async () => {
    const bucket = await server.makeBucket();
    const { endpoint } = server;
    const provider = new S3Storage(s3Config({ endpoint, keys: keys() }, bucket), UNHURRIED);
    return { provider, secrets: secretsOf(keys()), repair: () => Promise.resolve(provider.close()) };
  };
}

/** A server of its own that something happens to. */
function withServer(happens: (victim: S3Server) => Promise<void> | void): StorageFault['arrange'] {
  return async () => {
    const victim = await startS3Server();
    const provider = new S3Storage(s3Config(victim, await victim.makeBucket()), QUICK);
    await happens(victim);
    const repair = () => {
      provider.close();
      return victim.remove();
    };
    return { provider, secrets: secretsOf(victim.keys), repair };
  };
}

const FAULTS: StorageFault[] = [
  {
    what: 'wrong secret',
    code: 'storage_denied',
    says: /signature.*SignatureDoesNotMatch, HTTP status 403/,
    calls: EVERY_CALL,
    arrange: withKeys(() => ({ ...server.keys, secretAccessKey: 'a-secret-that-is-wrong' })),
  },
  {
    what: 'unknown key',
    code: 'storage_denied',
    says: /InvalidAccessKeyId, HTTP status 403/,
    calls: EVERY_CALL,
    arrange: withKeys(() => ({ accessKeyId: 'unknown-access-key', secretAccessKey: 'of-no-use-at-all' })),
  },
  {
    what: 'user without permission',
    code: 'storage_denied',
    says: /Access Denied \(AccessDenied, HTTP status 403/,
    calls: EVERY_CALL,
    arrange: withKeys(() => server.stranger),
  },
  {
    what: 'missing bucket',
    code: 'storage_missing',
    says: /bucket does not exist \(NoSuchBucket, HTTP status 404/,
    calls: EVERY_CALL,
    arrange: () => {
      const provider = new S3Storage(s3Config(server, 'never-made'), UNHURRIED);
      return Promise.resolve({
        provider,
        secrets: secretsOf(server.keys),
        repair: () => Promise.resolve(provider.close()),
      });
    },
  },
  {
    what: 'server that is down',
    code: 'storage_unreachable',
    says: /connect ECONNREFUSED 127\.0\.0\.1:\d+/,
    calls: EVERY_CALL,
    arrange: withServer((victim) => victim.stop()),
  },
  {
    what: 'server that hangs',
    code: 'storage_unreachable',
    says: /timed out after 1000 ms of inactivity/,
    calls: EVERY_CALL,
    arrange: withServer((victim) => void process.kill(victim.pid, 'SIGSTOP')),
  },
  {
    what: 'host that does not exist',
    code: 'storage_unreachable',
    says: /getaddrinfo (ENOTFOUND|EAI_AGAIN) nowhere\.invalid/,
    calls: ['put of a few bytes', 'get', 'check'],
    arrange: () => {
      const { keys } = server;
      const provider = new S3Storage(s3Config({ endpoint: 'http://nowhere.invalid', keys }, 'bucket'), QUICK);
      return Promise.resolve({ provider, secrets: secretsOf(keys), repair: () => Promise.resolve(provider.close()) });
    },
  },
  {
    what: 'full disk under the server',
    code: 'storage_full',
    says: /HTTP status 507/,
    calls: ['put of many bytes'],
    arrange: async () => {
      const disk = await mountSmallDisk(4 * MIB);
      const full = await startS3Server(disk.dir);
      const provider = new S3Storage(s3Config(full, await full.makeBucket()), UNHURRIED);
      const repair = async () => {
        provider.close();
        await full.remove();
        await disk.unmount();
      };
      return { provider, secrets: secretsOf(full.keys), repair };
    },
  },
];

describe('s3', () => describeStorage(() => openS3Bench(server, 'some/prefix/'), FAULTS));

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk {
  /** A path of the file system, good for this user's processes while the disk is mounted. */
  readonly dir: string;
  unmount(): Promise<void>;
}

/**
 * A real file system of a few bytes, in a mount namespace of its own: a child process holds it, and it is gone with that
 * child even when this process is killed. Others reach it through the child's root in /proc.
 */
export async function mountSmallDisk(bytes: number, options = ''): Promise<SmallDisk> {
  const point = mkdtempSync(join(tmpdir(), 'broker-disk-'));
  const script = 'mount -t tmpfs -o "size=$1,mode=700$2" tmpfs "$3" && echo mounted && exec sleep infinity';
  const namespace = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--user', '--map-root-user'];
  const holder = spawn(
    'unshare',
    [...namespace, 'setpriv', '--pdeathsig', 'KILL', 'sh', '-c', script, 'sh', String(bytes), options, point],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(holder, 'exit');
  const outcome = await Promise.race([
    once(holder.stdout, 'data').then(() => 'mounted'),
    ended.then(([code]) => `ended with ${code}`),
  ]);
  if (outcome !== 'mounted')
    throw new Error(`no file system could be mounted in a mount namespace: unshare ${outcome}`);
  return {
    dir: join('/proc', String(holder.pid), 'root', point),
    unmount: async () => {
      holder.kill('SIGKILL');
      await ended;
      rmSync(point, { recursive: true, force: true });
    },
  };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { goTool } from '../../embedded/go-tools.mjs';
import { tryLock } from '../../embedded/lock.mjs';
import { PROJECT, projectNode } from '../../embedded/project.mjs';
import { run } from '../../embedded/run.mjs';
import { userCache } from '../../embedded/user-cache.mjs';
import { versitygwBinary } from '../../embedded/versitygw.mjs';
import { until } from '../support/until.js';

const HERE = import.meta.dirname;
const INPUTS = '/var/inputs';

/**
 * A Debian with podman in namespaces of its own, in which Docker Compose finds what it takes for a Docker engine. Roots,
 * images and layers are kept between runs, outside the checkout, by the hash of the script that makes the roots.
 */
export class Machine {
  private constructor(
    private readonly root: string,
    private readonly child: ChildProcess,
    private readonly pid: number,
    private readonly unlock: () => void,
  ) {}

  /** With the images built and the engine running. @throws where this is not root on a Linux with debootstrap */
  static async start(): Promise<Machine> {
    if (process.getuid?.() !== 0) throw new Error('these tests make containers: run them as root');
    const cache = cacheFolder();
    const lock = await until('other runs of these tests', () => locked(cache), { limitMs: 1_800_000, everyMs: 1_000 });
    const machine = await begun(cache).catch((error: unknown) => {
      lock.release();
      throw error;
    });
    const up = new Machine(join(cache, 'machine'), machine.child, machine.pid, () => lock.release());
    try {
      await up.fill(cache);
      await up.inside(`bash /checkout/test/image/images.sh ${INPUTS}`, { network: 'outside' });
      await up.inside('setsid bash /checkout/test/image/serve.sh >/tmp/serve.log 2>&1 &');
      await until('the engine', () =>
        up.inside('[ -S /run/docker.sock ] && echo yes || true').then((said) => said !== ''),
      );
      return up;
    } catch (error) {
      await up.stop();
      throw error;
    }
  }

  /** A script within; `network`: the machine's own, which leads nowhere, or that of the machine around it. */
  inside(script: string, { network = 'own' }: { network?: 'own' | 'outside' } = {}): Promise<string> {
    const namespaces = ['--mount', '--pid', ...(network === 'own' ? ['--net'] : [])];
    const command = ['--target', String(this.pid), ...namespaces, '--wdns=/', '--', 'bash', '-ec', script];
    return run('nsenter', command, {
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
    });
  }

  /** The words before a command that make it one of the machine's network, with everything else as it is here. */
  get onItsNetwork(): string[] {
    return ['nsenter', '--target', String(this.pid), '--net', '--'];
  }

  /** `docker compose` on this checkout's file, with the variables of a file within the machine. */
  compose(words: string, envFile = '/tmp/env'): Promise<string> {
    const file = `--project-directory /checkout --file /checkout/docker-compose.yml --env-file ${envFile}`;
    return this.inside(`DOCKER_HOST=unix:///run/docker.sock docker-compose --progress quiet ${file} ${words}`);
  }

  async stop(): Promise<void> {
    this.child.stdin?.end();
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    this.unlock();
  }

  private async fill(cache: string): Promise<void> {
    const inputs = join(this.root, INPUTS);
    rmSync(inputs, { recursive: true, force: true });
    mkdirSync(inputs, { recursive: true });
    const npm = dirname(dirname(realpathSync((await run('sh', ['-c', 'command -v npm'])).trim())));
    const settings = (await run('npm', ['config', 'get', 'globalconfig'], { cwd: '/' })).trim();
    cpSync(projectNode(), join(inputs, 'node'));
    cpSync(npm, join(inputs, 'npm'), { recursive: true });
    cpSync(existsSync(settings) ? settings : '/dev/null', join(inputs, 'npmrc'));
    cpSync(await versitygwBinary(), join(inputs, 'versitygw'));
    cpSync(await goTool('docker-compose'), join(this.root, 'usr/local/bin/docker-compose'));
    await run('tar', ['-C', join(cache, 'base'), '-cf', join(inputs, 'base.tar'), '.']);
  }
}

function cacheFolder(): string {
  const made = createHash('sha256')
    .update(readFileSync(join(HERE, 'make-roots.sh')))
    .digest('hex');
  return userCache(`image-${made.slice(0, 12)}`);
}

function locked(cache: string) {
  const lock = tryLock(join(cache, 'lock'));
  return 'release' in lock && lock;
}

async function begun(cache: string): Promise<{ child: ChildProcess; pid: number }> {
  if (!existsSync(join(cache, 'machine'))) await makeRoots(cache);
  const namespaces = ['--mount', '--pid', '--net', '--fork', '--kill-child', '--mount-proc'];
  const script = [join(HERE, 'machine.sh'), join(cache, 'machine'), PROJECT];
  const child = spawn('unshare', [...namespaces, 'bash', ...script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = createInterface({ input: child.stdout });
  await Promise.race([once(said, 'line'), once(child, 'exit').then(() => Promise.reject(new Error('no machine')))]);
  const [pid = ''] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').split(' ');
  return { child, pid: Number(pid) };
}

async function makeRoots(cache: string): Promise<void> {
  const making = mkdtempSync(join(cache, 'making-'));
  try {
    await run('unshare', ['--mount', 'bash', join(HERE, 'make-roots.sh'), making]);
    renameSync(join(making, 'base'), join(cache, 'base'));
    renameSync(join(making, 'machine'), join(cache, 'machine'));
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

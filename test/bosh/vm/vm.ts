import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ProgramError, run } from '../../../embedded/run.mjs';
import { until } from '../../support/until.js';
import { boshRun } from '../bosh-run.js';

/** As on a stemcell, unless the machine has given the number away. */
export const VCAP = 1000;

const SCRIPT = `
  set -e
  mount --make-rprivate /
  mount --bind "$1" /var/vcap
  mount --bind "$2" /var/vcap/store
  mount --bind "$1/etc/passwd" /etc/passwd
  mount --bind "$1/etc/group" /etc/group
  for name in $(ls "$3"); do mount --bind "$3/$name" "/var/vcap/data/packages/$name/first"; done
  mount -t proc proc /proc
  echo ready
  # The first process of the VM: whose parent has died is its child, and must not stay as a dead one.
  while :; do sleep 3600 & wait $!; done`;

/**
 * What stands in for a VM: mount and process namespaces of their own, /var/vcap with the release's packages. Its network is
 * the machine's. All that runs in it ends with it.
 */
export class Vm {
  private constructor(
    private readonly holder: ChildProcess,
    private readonly init: number,
    /** /var/vcap, seen from outside. */
    readonly root: string,
  ) {}

  /** @param store the persistent disk: a folder that outlives the VM, or the size of a disk that does not */
  static async create(store: string | { bytes: number }): Promise<Vm> {
    const { packages, folder } = boshRun();
    const root = mkdtempSync(join(folder, 'vm-'));
    chmodSync(root, 0o755);
    for (const each of [
      'data/packages',
      'data/sys',
      'jobs',
      'store',
      'packages',
      'sys/log',
      'sys/run/bpm',
      'bosh/bin',
      'monit/job',
      'etc',
    ])
      mkdirSync(join(root, each), { recursive: true });
    for (const name of readdirSync(packages))
      mkdirSync(join(root, 'data/packages', name, 'first'), { recursive: true });
    writeUsers(root);
    putBpm(root);
    const disk = typeof store === 'string' ? store : join(root, 'store');
    chmodSync(disk, 0o755);
    // Other namespaces mount here as well: the folder stays.
    mkdirSync('/var/vcap', { recursive: true });
    // The namespaces end with their holder, and that with this process.
    const holder = spawn(
      'setpriv',
      [
        '--pdeathsig',
        'KILL',
        'unshare',
        '--mount',
        '--pid',
        '--fork',
        '--kill-child',
        'bash',
        '-c',
        SCRIPT,
        'vm',
        root,
        disk,
        packages,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const outcome = await Promise.race([
      once(holder.stdout, 'data').then(() => 'ready'),
      once(holder, 'exit').then(([code]) => `ended with ${String(code)}`),
    ]);
    if (outcome !== 'ready') throw new Error(`the namespaces of a VM could not be made: unshare ${outcome}`);
    const children = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8');
    const vm = new Vm(holder, Number(children.trim()), root);
    if (typeof store !== 'string') await vm.run(`mount -t tmpfs -o size=${store.bytes} tmpfs /var/vcap/store`);
    for (const name of readdirSync(packages)) await vm.usePackage(name, 'first');
    return vm;
  }

  /** Runs a script of bash as root in the VM. @throws with what it wrote, unless its exit code is 0 */
  run(script: string, ...args: string[]): Promise<string> {
    const target = ['--target', String(this.init), '--mount', '--pid', '--wd=/'];
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'en_US.UTF-8', TMPDIR: '/tmp' };
    const command = ['bash', '-e', '-o', 'pipefail', '-c', script, 'vm', ...args];
    return run('nsenter', [...target, ...command], { env }).catch((error: unknown) => {
      throw error instanceof ProgramError ? new Error(`${script}: ${error.message}: ${error.output}`) : error;
    });
  }

  /** A package as BOSH has it: a link to the folder of one compiled version. */
  async usePackage(name: string, version: string): Promise<void> {
    await this.run(`ln -sfn "/var/vcap/data/packages/${name}/${version}" "/var/vcap/packages/${name}"`);
  }

  /** Ends all that runs in it, at once, and forgets its own disk. */
  async destroy(): Promise<void> {
    const ended = once(this.holder, 'exit');
    this.holder.kill('SIGKILL');
    await ended;
    await until('the end of the VM', () => !existsSync(`/proc/${this.init}`));
    rmSync(this.root, { recursive: true, force: true });
  }
}

function writeUsers(root: string): void {
  for (const [file, line] of [
    ['passwd', `vcap:x:${VCAP}:${VCAP}:BOSH:/home/vcap:/bin/bash`],
    ['group', `vcap:x:${VCAP}:`],
  ] as const) {
    const others = readFileSync(`/etc/${file}`, 'utf8')
      .split('\n')
      .filter((each) => !/^vcap:/.test(each) && each.split(':')[2] !== String(VCAP));
    writeFileSync(join(root, 'etc', file), [...others.filter(Boolean), line, ''].join('\n'));
  }
}

function putBpm(root: string): void {
  const bin = join(root, 'jobs', 'bpm', 'bin');
  mkdirSync(bin, { recursive: true });
  copyFileSync(join(import.meta.dirname, 'bpm.rb'), join(bin, 'bpm'));
  chmodSync(join(bin, 'bpm'), 0o755);
  const monit = join(root, 'bosh', 'bin', 'monit');
  writeFileSync(monit, '#!/bin/sh\nexec monit -c /var/vcap/monit/monitrc "$@"\n');
  chmodSync(monit, 0o755);
}

import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Json } from '../../support/client.js';
import { until } from '../../support/until.js';
import { type LinkProvider, render } from '../render.js';
import { type Vm, VCAP } from './vm.js';

export interface JobOnVm {
  name: string;
  properties: Json;
  links?: Record<string, LinkProvider>;
}

const MONITRC = `set daemon 1
set log /var/vcap/monit/monit.log
set pidfile /var/vcap/monit/monit.pid
set idfile /var/vcap/monit/id
set statefile /var/vcap/monit/state
set httpd unixsocket /var/vcap/monit/socket and allow agent:agent
include /var/vcap/monit/job/*.monitrc
`;

/** Does for the jobs of a VM what BOSH's agent does, in its order. */
export class Agent {
  constructor(
    readonly vm: Vm,
    private jobs: JobOnVm[],
  ) {}

  /** Renders with the permissions that the agent gives; jobs that are no more among these go. */
  async apply(jobs: JobOnVm[] = this.jobs): Promise<void> {
    this.jobs = jobs;
    for (const name of readdirSync(this.#path('jobs')))
      if (name !== 'bpm') rmSync(this.#path('jobs', name), { recursive: true });
    for (const job of jobs) await this.#renderJob(job);
  }

  /** pre-start, monit, post-start: what a deployment does after the jobs were stopped. */
  async start(): Promise<void> {
    await this.#scripts('pre-start');
    await this.boot();
    await this.#scripts('post-start');
  }

  /** What happens when the VM itself starts: monit starts the jobs, no script of theirs runs. */
  async boot(): Promise<void> {
    writeFileSync(this.#path('monit', 'monitrc'), MONITRC, { mode: 0o700 });
    await this.vm.run('monit -c /var/vcap/monit/monitrc');
    await until('monit', () => this.vm.run('/var/vcap/bosh/bin/monit summary').then(Boolean, () => false));
    for (const { name } of this.#monitored()) await this.vm.run(`/var/vcap/bosh/bin/monit start ${name}`);
    for (const { name } of this.#monitored())
      await this.#until(`${name} to run`, () =>
        this.vm.run(`/var/vcap/jobs/bpm/bin/bpm pid ${name}`).then(Boolean, () => false),
      );
  }

  /** Unmonitored, drained all at once, stopped. @returns what the drain scripts have printed */
  async stop(): Promise<string[]> {
    const monit = '/var/vcap/bosh/bin/monit';
    for (const { name } of this.#monitored()) {
      await this.vm.run(`${monit} unmonitor ${name}`);
      await until(`monit to leave ${name} alone`, async () => /not monitored/i.test(await this.status(name)));
    }
    const drained = await Promise.all(this.#monitored().map(({ name }) => this.#drain(name)));
    for (const { name } of this.#monitored()) {
      // BOSH's old monit runs the stop program of what is not monitored, too; Debian's does not.
      await this.vm.run(`/var/vcap/jobs/bpm/bin/bpm stop ${name}`);
    }
    await this.vm.run(`${monit} quit`);
    await until('the end of monit', () =>
      this.vm.run('test ! -e /var/vcap/monit/monit.pid').then(
        () => true,
        () => false,
      ),
    );
    return drained.flat();
  }

  status(name: string): Promise<string> {
    return this.vm.run(`/var/vcap/bosh/bin/monit summary | grep -E "(^|[^-[:alnum:]])${name}([^-[:alnum:]]|$)"`);
  }

  pid(name: string): Promise<number> {
    return this.vm.run(`/var/vcap/jobs/bpm/bin/bpm pid ${name}`).then(Number);
  }

  /** An errand, or a script of BOSH Backup and Restore. */
  script(job: string, name: string, environment = ''): Promise<string> {
    return this.vm.run(`${environment} /var/vcap/jobs/${job}/bin/${name}`);
  }

  /** Where it waits in vain, the jobs' logs tell why. */
  async #until(what: string, ask: () => Promise<boolean>): Promise<void> {
    try {
      await until(what, ask);
    } catch (error) {
      throw new Error(`${String(error)}\n${await this.logs()}`, { cause: error });
    }
  }

  /** The ends of all logs. */
  logs(): Promise<string> {
    return this.vm.run(
      'for f in /var/vcap/sys/log/*/*.log /var/vcap/monit/monit.log; do echo "== $f"; tail -n 15 "$f"; done',
    );
  }

  #monitored(): JobOnVm[] {
    return this.jobs.filter(({ name }) => readdirSync(this.#path('monit', 'job')).includes(`${name}.monitrc`));
  }

  async #scripts(name: string): Promise<void> {
    const all = this.jobs.map((job) =>
      this.vm.run(`cd /; s=/var/vcap/jobs/${job.name}/bin/${name}; [ ! -e $s ] || $s`),
    );
    await Promise.all(all);
  }

  /** A number below zero asks to be called again after as many seconds; another one is waited for. */
  async #drain(job: string): Promise<string[]> {
    const said = await this.vm.run(
      `s=/var/vcap/jobs/${job}/bin/drain; [ ! -e $s ] || $s 2>/var/vcap/sys/log/${job}/drain.stderr.log`,
    );
    if (said === '') return [];
    if (!/^-?\d+\n?$/.test(said)) throw new Error(`drain of ${job}: expected one integer, not ${said}`);
    const seconds = Number(said);
    await pause(Math.abs(seconds) * 1000);
    return seconds < 0 ? [said.trim(), ...(await this.#drain(job))] : [said.trim()];
  }

  async #renderJob({ name, properties, links }: JobOnVm): Promise<void> {
    const rendered = await render(name, properties, links);
    for (const [destination, { text, error }] of Object.entries(rendered)) {
      if (text === undefined) throw new Error(`${name}: ${destination}: ${error}`);
      if (destination === 'monit') {
        if (text.trim() !== '') writeFileSync(this.#path('monit', 'job', `${name}.monitrc`), text, { mode: 0o700 });
        continue;
      }
      this.#put(this.#path('jobs', name, destination), text, destination.startsWith('bin/') ? 0o750 : 0o640);
    }
  }

  #put(file: string, text: string, mode: number): void {
    for (let folder = dirname(file); folder !== this.#path('jobs'); folder = dirname(folder)) {
      mkdirSync(folder, { recursive: true });
      chmodSync(folder, 0o750);
      chownSync(folder, 0, VCAP);
    }
    writeFileSync(file, text);
    chmodSync(file, mode);
    chownSync(file, 0, VCAP);
  }

  #path(...parts: string[]): string {
    return join(this.vm.root, ...parts);
  }
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { setTimeout as pause } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { logContext } from '../http/log-context.js';
import { OperationExecutor } from './operation-executor.js';
import { type OperationHandler } from './operation-handler.js';
import { OperationIntake, type Taken } from './operation-intake.js';
import { HEARTBEAT_SECONDS, LONGEST_RUN_HOURS, OperationQueue } from './operation-queue.js';
import { OperationRun } from './operation-run.js';
import { OperationStore } from './operation-store.js';
import { Operation, type OperationKind } from './operation.entity.js';
import { transactionOrNothing } from './transaction-or-nothing.js';

/** How many operations of light kinds run at once on a broker. */
const LIGHT_PARALLEL = 16;

/** How many of an unmetered kind are taken at once. */
const UNMETERED_PARALLEL = 100;

/** How often other brokers' work and cancels are looked for, in ms. */
const TICK_MS = 1_000;

/** Beats are sent this often, in ticks. */
const BEAT_TICKS = 3;

/** Without a beat for so long another broker may take the work over: it is let go before. */
const LET_GO_MS = (HEARTBEAT_SECONDS - 1) * 1_000;

/** Upkeep of the table: jobs that are missing, operations that ended long ago. In ticks. */
const UPKEEP_TICKS = 60;

/** How long an aborted handler may take to return at shut-down, in ms. */
const RETURN_MS = 5_000;

/** Takes operations of the registered kinds, keeps their jobs alive, and lets them go when it must. */
@Injectable()
export class OperationRunner {
  private readonly logger = new Logger(OperationRunner.name);
  private readonly handlers = new Map<OperationKind, OperationHandler>();
  private readonly runs = new Map<string, OperationRun>();
  private readonly wanted = new Set<OperationKind>();
  /** Of these kinds there may be more than there was room for. */
  private readonly more = new Set<OperationKind>();
  /** There may be queued operations to cancel. */
  private cancels = false;
  private taking: Promise<void> | undefined;
  private ticking = false;
  private ticks = 0;
  private timer: NodeJS.Timeout | undefined;
  /** When the last beat that was answered had been sent, by the monotonic clock. */
  private lastBeat = performance.now();

  constructor(
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
    private readonly dataSource: DataSource,
    private readonly store: OperationStore,
    private readonly intake: OperationIntake,
    private readonly queue: OperationQueue,
    private readonly executor: OperationExecutor,
  ) {}

  get kinds(): OperationKind[] {
    return [...this.handlers.keys()];
  }

  handle(handler: OperationHandler): void {
    if (!handler.everywhere && !this.config.operations.roles.includes('worker')) return;
    if (this.handlers.has(handler.kind)) throw new Error(`two handlers of ${handler.kind}`);
    this.handlers.set(handler.kind, handler);
  }

  async start(): Promise<void> {
    await this.recover();
    this.timer = setInterval(() => void this.tick(), TICK_MS);
    this.wake(...this.kinds);
  }

  async stop(graceMs: number): Promise<void> {
    const wasStarted = this.timer !== undefined;
    clearInterval(this.timer);
    this.timer = undefined;
    await this.taking;
    if (!wasStarted) return;
    const beats = setInterval(() => void this.beat(), TICK_MS * BEAT_TICKS);
    try {
      await this.returned(graceMs);
      for (const run of this.runs.values()) run.stop('stopping');
      await this.returned(RETURN_MS);
      await Promise.all([...this.runs.values()].map((run) => this.abandonToOthers(run)));
    } finally {
      clearInterval(beats);
    }
  }

  /** Looks for work of these kinds at once. */
  wake(...kinds: OperationKind[]): void {
    if (this.timer === undefined) return;
    for (const kind of kinds) if (this.handlers.has(kind)) this.wanted.add(kind);
    // Whoever asks, what is taken may be another's.
    this.taking ??= logContext.exit(() => this.takeWanted()).finally(() => (this.taking = undefined));
  }

  /** A cancel was accepted: an operation that runs here hears of it at once. */
  cancelled({ id, state }: Operation): void {
    this.runs.get(id)?.stop('cancelled');
    if (state === 'queued') this.wakeToCancel();
  }

  private wakeToCancel(): void {
    this.cancels = true;
    this.wake();
  }

  private async takeWanted(): Promise<void> {
    while ((this.cancels || this.wanted.size > 0) && this.timer !== undefined) {
      const cancels = this.cancels;
      const kinds = [...this.wanted];
      this.cancels = false;
      this.wanted.clear();
      try {
        if (cancels) await this.takeCancelled();
        await this.take(kinds);
      } catch (error) {
        this.logger.warn(`cannot look for operations: ${String(error)}`);
        return;
      }
    }
  }

  private async takeCancelled(): Promise<void> {
    const sent = performance.now();
    this.launchAll(await this.intake.takeCancelled(this.kinds), sent);
  }

  private async take(kinds: OperationKind[]): Promise<void> {
    const sent = performance.now();
    if (kinds.every((kind) => this.free(kind) <= 0)) return kinds.forEach((kind) => this.more.add(kind));
    const { taken, more } = await this.intake.take(
      kinds,
      (kind, besides) => this.free(kind) - besides.filter((job) => this.sameClass(job.kind, kind)).length,
    );
    this.launchAll(taken, sent);
    for (const kind of kinds) this.more[more.has(kind) ? 'add' : 'delete'](kind);
    // Room that came up in the meantime was not asked about.
    for (const kind of kinds) if (this.more.has(kind) && this.free(kind) > 0) this.wanted.add(kind);
  }

  private launchAll(taken: Taken[], sent: number): void {
    if (this.runs.size === 0) this.lastBeat = sent;
    for (const one of taken) this.launch(one);
  }

  private launch({ job, claim }: Taken): void {
    const handler = this.handlers.get(claim.operation.kind);
    if (handler === undefined) return;
    const before = this.runs.get(job.id);
    before?.stop('lost');
    const run = new OperationRun(claim, job, this.identity.runner);
    const limits = { deadlineMs: this.config.operations.deadline, attemptMs: (LONGEST_RUN_HOURS - 1) * 3_600_000 };
    this.runs.set(run.id, run);
    const { requestId, kind, instanceId } = run.operation;
    const fields = { request_id: requestId, operation_id: run.id, kind, instance_id: instanceId };
    run.done = logContext.run(fields, async () => {
      await before?.done;
      await this.executor.execute(run, handler, limits);
      if (this.runs.get(run.id) === run) this.runs.delete(run.id);
      this.wake(...[...this.more].filter((kind) => this.sameClass(kind, handler.kind)));
    });
  }

  private free(kind: OperationKind): number {
    const kindClass = this.classOf(kind);
    if (kindClass === 'unmetered') return UNMETERED_PARALLEL;
    const all = kindClass === 'heavy' ? this.config.operations.parallel : LIGHT_PARALLEL;
    const busy = [...this.runs.values()].filter((run) => !run.waiting && this.sameClass(run.operation.kind, kind));
    return all - busy.length;
  }

  private sameClass(one: OperationKind, other: OperationKind): boolean {
    return this.classOf(one) === this.classOf(other);
  }

  private classOf(kind: OperationKind): 'heavy' | 'unmetered' | 'light' {
    const handler = this.handlers.get(kind);
    if (handler?.unmetered) return 'unmetered';
    return handler?.heavy ? 'heavy' : 'light';
  }

  private async tick(): Promise<void> {
    if (this.runs.size > 0 && performance.now() - this.lastBeat > LET_GO_MS) this.letGo([...this.runs.values()]);
    if (this.ticking) return;
    this.ticking = true;
    try {
      this.ticks++;
      if (this.ticks % BEAT_TICKS === 0) await this.beat();
      await this.lookAtOwn();
      await this.callHome();
      if (this.ticks % UPKEEP_TICKS === 0) await this.upkeep();
    } catch (error) {
      this.logger.warn(`cannot look after operations: ${String(error)}`);
    } finally {
      this.ticking = false;
    }
    this.wakeToCancel();
    this.wake(...this.kinds);
  }

  private async beat(): Promise<void> {
    const sent = performance.now();
    const runs = [...this.runs.values()].filter((run) => run.stopped !== 'lost');
    try {
      for (const kind of new Set(runs.map((run) => run.operation.kind))) {
        const jobs = runs.filter((run) => run.operation.kind === kind).map((run) => run.job);
        await this.queue.beat(kind, jobs);
      }
      this.lastBeat = sent;
    } catch (error) {
      this.logger.warn(`cannot send the beats of running operations: ${String(error)}`);
    }
  }

  /** Cancels that other brokers accepted, and attempts that were superseded. */
  private async lookAtOwn(): Promise<void> {
    const runs = [...this.runs.values()].filter((run) => run.stopped !== 'lost');
    if (runs.length === 0) return;
    const rows = new Map((await this.store.findAll(runs.map(({ id }) => id))).map((row) => [row.id, row]));
    for (const run of runs) {
      const row = rows.get(run.id);
      // One that ended is about to leave; its own end says so.
      if (row?.state === 'running' && row.attempt === run.attempt && row.runner === run.runner) {
        if (row.cancelRequested) run.stop('cancelled');
      } else if (row?.attempt !== run.attempt) this.letGo([run]);
    }
  }

  private letGo(runs: OperationRun[]): void {
    for (const run of runs) {
      if (run.stopped !== 'lost') this.logger.warn(`operation ${run.id} is let go: another broker may hold it`);
      run.stop('lost');
    }
  }

  /** What a former process of this node ran is to be taken at once, without waiting for its beats to stay away. */
  private async recover(): Promise<void> {
    for (const { kind, id, attempt } of await this.store.leftBehind(this.identity.node, this.identity.runner)) {
      await this.queue.ensure(kind);
      const givenBack = await transactionOrNothing(this.dataSource, async (manager) => {
        await this.queue.giveBack(manager, kind, id);
        // Another broker may have taken the job meanwhile, and its operation with it: then it keeps both.
        return (await manager.existsBy(Operation, { id, attempt, state: 'running' })) || undefined;
      });
      if (givenBack) this.logger.log(`${kind} ${id} was left behind by a former process of this broker and goes on`);
    }
    await this.upkeep();
  }

  /** Brokers of other nodes throw away the jobs of what only this one may take. */
  private async callHome(): Promise<void> {
    const waiting = await this.store.waitingForNode(this.identity.node, this.kinds);
    if (waiting.length > 0) await this.dataSource.transaction((manager) => this.queue.enqueue(manager, ...waiting));
  }

  private async upkeep(): Promise<void> {
    const stale = (await this.store.stale(this.identity.node)).filter(({ id }) => !this.runs.has(id));
    for (const { kind } of stale) await this.queue.ensure(kind);
    if (stale.length > 0) await this.dataSource.transaction((manager) => this.queue.enqueue(manager, ...stale));
    await this.store.sweep();
  }

  private async returned(withinMs: number): Promise<void> {
    const waiting = new AbortController();
    const all = Promise.all([...this.runs.values()].map((run) => run.done));
    await Promise.race([all, pause(withinMs, undefined, { signal: waiting.signal }).catch(() => undefined)]);
    waiting.abort();
  }

  private async abandonToOthers(run: OperationRun): Promise<void> {
    this.logger.warn(`operation ${run.id} does not stop: it is handed over all the same`);
    await this.executor.handOver(run).catch((error: unknown) => this.logger.warn(String(error)));
    run.stop('lost');
  }
}

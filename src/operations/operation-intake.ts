import { Inject, Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type Job, OperationQueue } from './operation-queue.js';
import { type Claimed, OperationStore } from './operation-store.js';
import { type OperationKind } from './operation.entity.js';

/** How many queued operations of a kind are cancelled at once, whatever else runs. */
const CANCELS_AT_ONCE = 100;

type JobOfKind = Job & { kind: OperationKind };

/** An operation that this broker holds from now on, with its job. */
export interface Taken {
  job: Job;
  claim: Claimed;
}

/**
 * Takes jobs and claims their operations in one transaction. Nobody claims an operation whose job he has not taken: that
 * is what keeps two from working on one.
 */
@Injectable()
export class OperationIntake {
  constructor(
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
    private readonly dataSource: DataSource,
    private readonly store: OperationStore,
    private readonly queue: OperationQueue,
  ) {}

  /**
   * As many of each kind as `room` says, which is told the jobs that were taken just now. `more`: the kinds of which
   * there may be some left.
   */
  async take(
    kinds: OperationKind[],
    room: (kind: OperationKind, besides: readonly JobOfKind[]) => number,
  ): Promise<{ taken: Taken[]; more: Set<OperationKind> }> {
    const more = new Set<OperationKind>();
    const taken = await this.dataSource.transaction(async (manager) => {
      const jobs: JobOfKind[] = [];
      for (const kind of kinds) {
        const places = room(kind, jobs);
        const found = places > 0 ? await this.queue.take(manager, kind, places) : [];
        for (const job of found) jobs.push({ ...job, kind });
        if (found.length >= places) more.add(kind);
      }
      return this.claim(manager, jobs);
    });
    return { taken, more };
  }

  /** Those of these kinds that were cancelled in the queue: they need no place. */
  async takeCancelled(kinds: OperationKind[]): Promise<Taken[]> {
    const cancelled = await this.store.toCancel(kinds);
    if (cancelled.length === 0) return [];
    return this.dataSource.transaction(async (manager) => {
      const jobs: JobOfKind[] = [];
      for (const { kind, id } of cancelled) await this.queue.urge(manager, kind, id);
      for (const kind of new Set(cancelled.map((operation) => operation.kind)))
        for (const job of await this.queue.takeUrged(manager, kind, CANCELS_AT_ONCE)) jobs.push({ ...job, kind });
      return this.claim(manager, jobs);
    });
  }

  /** A job whose operation is not to be had is of no use to anybody. */
  private async claim(manager: EntityManager, jobs: JobOfKind[]): Promise<Taken[]> {
    if (jobs.length === 0) return [];
    const ids = jobs.map(({ id }) => id);
    const claims = await this.store.claim(manager, ids, this.identity.node, this.identity.runner);
    const claimed = new Map(claims.map((claim) => [claim.operation.id, claim]));
    const taken: Taken[] = [];
    for (const { kind, ...job } of jobs) {
      const claim = claimed.get(job.id);
      if (claim === undefined) await this.queue.remove(manager, kind, job.id);
      else taken.push({ job, claim });
    }
    return taken;
  }
}

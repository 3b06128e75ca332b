import { Injectable, Logger } from '@nestjs/common';
import { OperationStore } from './operation-store.js';
import { type Operation } from './operation.entity.js';

/** How soon the end of another broker's work is seen, in ms. */
const POLL_MS = 500;

/** Who waits for the end of operations: told at once by this broker's runner, else by asking the table. */
@Injectable()
export class OperationWaiters {
  private readonly logger = new Logger(OperationWaiters.name);
  private readonly waiting = new Map<string, Set<(ended: Operation | undefined) => void>>();
  private poll: NodeJS.Timeout | undefined;
  private asking = false;

  constructor(private readonly store: OperationStore) {}

  start(): void {
    this.poll = setInterval(() => void this.ask(), POLL_MS);
  }

  /** Nobody waits any longer: all get their operation as it is. */
  stop(): void {
    clearInterval(this.poll);
    for (const id of [...this.waiting.keys()]) this.tell(id, undefined);
  }

  ended(operation: Operation): void {
    this.tell(operation.id, operation);
  }

  async settled(id: string, withinMs: number, signal?: AbortSignal): Promise<Operation> {
    let give: (ended: Operation | undefined) => void = () => undefined;
    const told = new Promise<Operation | undefined>((resolve) => (give = resolve));
    const enough = () => give(undefined);
    const timer = setTimeout(enough, withinMs);
    signal?.addEventListener('abort', enough, { once: true });
    const mine = this.waiting.get(id) ?? new Set();
    this.waiting.set(id, mine.add(give));
    try {
      // Looked at after joining the waiters: an end in between is told.
      const now = await this.store.find(id);
      if (hasEnded(now) || withinMs <= 0 || signal?.aborted === true) return now;
      return (await told) ?? (await this.store.find(id));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', enough);
      mine.delete(give);
      if (mine.size === 0 && this.waiting.get(id) === mine) this.waiting.delete(id);
    }
  }

  private tell(id: string, ended: Operation | undefined): void {
    for (const give of this.waiting.get(id) ?? []) give(ended);
  }

  private async ask(): Promise<void> {
    if (this.asking || this.waiting.size === 0) return;
    this.asking = true;
    try {
      const found = await this.store.findAll([...this.waiting.keys()]);
      found.filter(hasEnded).forEach((operation) => this.ended(operation));
    } catch (error) {
      this.logger.debug(`waiters could not ask: ${String(error)}`);
    } finally {
      this.asking = false;
    }
  }
}

function hasEnded({ state }: Operation): boolean {
  return state !== 'queued' && state !== 'running';
}

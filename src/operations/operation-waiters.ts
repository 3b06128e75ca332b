import { Injectable, Logger } from '@nestjs/common';
import { OperationStore } from './operation-store.js';
import { type Operation } from './operation.entity.js';

/** How soon the end of another broker's work is seen, in ms. */
const POLL_MS = 500;

/** After so long without an answer of the state database nobody is kept waiting, in ms. */
const SILENCE_MS = 4_000;

type Told = Operation | Error | undefined;

/** Who waits for the end of operations: told at once by this broker's runner, else by asking the table. */
@Injectable()
export class OperationWaiters {
  private readonly logger = new Logger(OperationWaiters.name);
  private readonly waiting = new Map<string, Set<(told: Told) => void>>();
  private poll: NodeJS.Timeout | undefined;
  private asking = false;
  private stopped = false;
  private silentSince: number | undefined;

  constructor(private readonly store: OperationStore) {}

  start(): void {
    this.stopped = false;
    this.poll = setInterval(() => void this.ask(), POLL_MS);
  }

  /** Nobody waits any longer: all get their operation as it is. */
  stop(): void {
    clearInterval(this.poll);
    this.stopped = true;
    for (const id of [...this.waiting.keys()]) this.tell(id, undefined);
  }

  ended(operation: Operation): void {
    this.tell(operation.id, operation);
  }

  /** @throws {BrokerError} `unknown_operation`; `server_unreachable` where the state database falls silent meanwhile */
  async settled(id: string, withinMs: number, signal?: AbortSignal): Promise<Operation> {
    let give: (told: Told) => void = () => undefined;
    const told = new Promise<Told>((resolve) => (give = resolve));
    const enough = () => give(undefined);
    const timer = setTimeout(enough, withinMs);
    signal?.addEventListener('abort', enough, { once: true });
    const mine = this.waiting.get(id) ?? new Set();
    this.waiting.set(id, mine.add(give));
    try {
      // Looked at after joining the waiters: an end in between is told.
      const now = await this.store.find(id);
      if (hasEnded(now) || withinMs <= 0 || this.stopped || signal?.aborted === true) return now;
      const end = await told;
      if (end instanceof Error) throw end;
      return end ?? (await this.store.find(id));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', enough);
      mine.delete(give);
      if (mine.size === 0 && this.waiting.get(id) === mine) this.waiting.delete(id);
    }
  }

  private tell(id: string, told: Told): void {
    for (const give of this.waiting.get(id) ?? []) give(told);
  }

  private async ask(): Promise<void> {
    if (this.asking || this.waiting.size === 0) return;
    this.asking = true;
    const asked = performance.now();
    try {
      const found = await this.store.findAll([...this.waiting.keys()]);
      this.silentSince = undefined;
      found.filter(hasEnded).forEach((operation) => this.ended(operation));
    } catch (error) {
      this.logger.debug(`waiters could not ask: ${String(error)}`);
      this.silentSince ??= asked;
      if (!(error instanceof Error) || performance.now() - this.silentSince < SILENCE_MS) return;
      for (const id of [...this.waiting.keys()]) this.tell(id, error);
    } finally {
      this.asking = false;
    }
  }
}

function hasEnded({ state }: Operation): boolean {
  return state !== 'queued' && state !== 'running';
}

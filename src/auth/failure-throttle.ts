const WINDOW_MS = 60_000;
const FREE_FAILURES = 5;
const MAX_ENTRIES = 10_000;

interface Failures {
  count: number;
  until: number;
}

/**
 * Counts wrong credentials by user name and address. Only failures are counted and only failures are slowed: a
 * correct credential never meets this. Holds at most 10,000 pairs; the oldest gives way.
 */
export class FailureThrottle {
  readonly #failures = new Map<string, Failures>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Records one failure; resolves to the seconds after which the next try makes sense, 0 where it may be at once. */
  failed(username: string, address: string): number {
    const now = this.now();
    const key = `${address}\0${username.slice(0, 255)}`;
    const known = this.#failures.get(key);
    if (known === undefined || known.until <= now) {
      this.#failures.delete(key);
      this.#makeRoom();
      this.#failures.set(key, { count: 1, until: now + WINDOW_MS });
      return 0;
    }
    known.count += 1;
    return known.count <= FREE_FAILURES ? 0 : Math.ceil((known.until - now) / 1000);
  }

  get size(): number {
    return this.#failures.size;
  }

  #makeRoom(): void {
    if (this.#failures.size < MAX_ENTRIES) return;
    const oldest = this.#failures.keys().next();
    if (!oldest.done) this.#failures.delete(oldest.value);
  }
}

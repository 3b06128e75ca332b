import { type OperationProgress } from './operation.entity.js';

const EVERY_MS = 1_000;

/** Writes where a phase stands, the newest only and once a second at most; how long it will take is reckoned here. */
export class ProgressWriter {
  #since = performance.now();
  #newest: OperationProgress | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(private readonly write: (progress: OperationProgress) => Promise<void>) {}

  tell(progress: OperationProgress): void {
    this.#newest = progress;
    this.#timer ??= setTimeout(() => this.#flush(), EVERY_MS).unref();
  }

  /** A new phase begins: nothing of the former one is written any more once this has resolved. */
  async begin(): Promise<void> {
    this.#newest = undefined;
    await this.#writing;
    this.#since = performance.now();
  }

  #flush(): void {
    this.#timer = undefined;
    const progress = this.#newest;
    if (progress === undefined) return;
    // A look that fails is left out: the next one is newer.
    this.#writing = this.#writing
      .then(() => this.write(withEta(progress, performance.now() - this.#since)))
      .catch(() => undefined);
  }
}

/** Percent, and from it the time that is left, as far as they can be told. */
export function withEta(progress: OperationProgress, elapsedMs: number): OperationProgress {
  const { bytes, total_bytes: total } = progress;
  const known = bytes !== undefined && total !== undefined && total > 0 ? (bytes / total) * 100 : undefined;
  const percent = progress.percent ?? (known === undefined ? undefined : Math.floor(Math.min(known, 100)));
  if (percent === undefined) return progress;
  if (percent <= 0) return { ...progress, percent };
  return { ...progress, percent, eta_ms: Math.round((elapsedMs * (100 - percent)) / percent) };
}

const MIB = 1024 * 1024;
const SMALLEST = 8 * MIB;
/** Limits of S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const LARGEST = 5 * 1024 * MIB;
export const MOST_PARTS = 10_000;
/** Room for parts beside one another; a larger part goes alone. */
const IN_FLIGHT_BYTES = 48 * MIB;
const MOST_IN_FLIGHT = 3;

/** Decides the size of every part, so that an upload that another process goes on with has the same ones. */
export interface PartPlan {
  /** Bytes of a part at first. */
  base: number;
  /** Parts grow once so many bytes are sent. */
  growFrom: number;
}

/** An expected size fills 9,000 parts at most; the others are for what goes beyond it. */
export function planParts(sizeHint = 0): PartPlan {
  const base = Math.min(Math.max(SMALLEST, wholeMib(sizeHint / 9_000)), LARGEST);
  return { base, growFrom: Math.ceil(Math.max(sizeHint, 0)) };
}

/** Bytes of the part that begins at byte `sent`. In growing parts, 10,000 hold 11 TiB where nothing was expected. */
export function partSize({ base, growFrom }: PartPlan, sent: number): number {
  return sent < growFrom ? base : Math.min(Math.max(base, wholeMib(sent / 1_250)), LARGEST);
}

export function partsInFlight(size: number): number {
  return Math.min(Math.max(Math.floor(IN_FLIGHT_BYTES / size), 1), MOST_IN_FLIGHT);
}

function wholeMib(bytes: number): number {
  return Math.ceil(bytes / MIB) * MIB;
}

/** Buffers that are used again: fresh ones for each part would grow the process by more than are ever in use. */
export class PartBuffers {
  readonly #free: Buffer[] = [];

  take(size: number): Buffer {
    const buffer = this.#free.pop();
    return buffer && buffer.length >= size ? buffer.subarray(0, size) : Buffer.allocUnsafeSlow(size);
  }

  /** Gives a buffer of `take` back; nobody may read it any more. */
  give(buffer: Buffer): void {
    this.#free.push(buffer);
  }
}

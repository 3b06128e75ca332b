export interface S3Timing {
  /** Milliseconds until a connection must stand. */
  connect: number;
  /** Milliseconds of silence on a connection until the server counts as hanging. */
  silence: number;
  /** Tries of one request. */
  attempts: number;
  /** Milliseconds before the second try, doubled for each further one, half of it drawn at random. */
  backoff: number;
  /** No further try begins once a request has taken so many milliseconds. */
  patience: number;
  /** Milliseconds that a server which answers other requests may take to put an upload together. */
  assembly: number;
  /** Milliseconds until a service that said that an object is complete must show it. */
  settling: number;
  /** Milliseconds that an abort waits for an answer which decides what has to be cleared away. */
  farewell: number;
}

/**
 * A silent server is found within 50 seconds: Node looks at a socket that is being written to only at every second
 * expiry, the SDK sets its limit after 3 s, and after that long no further try is made.
 */
export const S3_TIMING: S3Timing = {
  connect: 5_000,
  silence: 20_000,
  attempts: 5,
  backoff: 200,
  patience: 20_000,
  assembly: 30 * 60_000,
  settling: 5_000,
  farewell: 5_000,
};

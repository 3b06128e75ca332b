/** What work on a server is given by the operation that it belongs to. */
export interface Step {
  readonly signal: AbortSignal;
  /** Records where the work is; rejects when the operation is no longer this one's to run. */
  phase(name: string): Promise<void>;
}

/** Work while its phase is being recorded. Both have ended when this returns, also when one of them failed. */
export async function inPhase<T>(step: Step, name: string, work: () => Promise<T>): Promise<T> {
  const [recorded, worked] = await Promise.allSettled([step.phase(name), work()]);
  if (recorded.status === 'rejected') throw recorded.reason;
  if (worked.status === 'rejected') throw worked.reason;
  return worked.value;
}

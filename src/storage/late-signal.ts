/**
 * A signal that follows another one some milliseconds later: for a request whose answer decides what an abort has to
 * clear away. `release` when the request is over.
 */
export function lateSignal(signal: AbortSignal, milliseconds: number): { signal: AbortSignal; release: () => void } {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const begin = () => {
    timer = setTimeout(() => late.abort(signal.reason), milliseconds);
  };
  signal.addEventListener('abort', begin, { once: true });
  if (signal.aborted) begin();
  const release = () => {
    signal.removeEventListener('abort', begin);
    clearTimeout(timer);
  };
  return { signal: late.signal, release };
}

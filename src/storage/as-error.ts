/**
 * What was thrown, as an error. Errors are known by their shape: those of the system and of abort signals may be made by
 * another realm's classes.
 */
export function asError(thrown: unknown): NodeJS.ErrnoException {
  const shaped = typeof thrown === 'object' && thrown !== null && 'name' in thrown && 'message' in thrown;
  return shaped ? (thrown as NodeJS.ErrnoException) : new Error(String(thrown));
}

const MAX_DEPTH = 64;

/** PostgreSQL's text and jsonb hold neither NUL nor an unpaired surrogate. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text);
}

/** Why a JSON value cannot be kept in the state database, naming the place; undefined where it can. */
export function storageFault(root: unknown, named: string): string | undefined {
  const open: { value: unknown; path: string; depth: number }[] = [{ value: root, path: '', depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, path, depth } = next;
    if (depth > MAX_DEPTH) return `${named}: expected at most ${MAX_DEPTH} levels`;
    if (typeof value === 'string' && !isStorable(value)) return `${path || named}: expected valid Unicode without NUL`;
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, item] of Object.entries(value)) {
      if (!isStorable(key)) return `${path || named}: expected keys in valid Unicode without NUL`;
      open.push({ value: item, path: path === '' ? key : `${path}.${key}`, depth: depth + 1 });
    }
  }
  return undefined;
}

import { setTimeout as pause } from 'node:timers/promises';

/**
 * Asks again and again until there is an answer that is not undefined or false.
 * @throws after `limitMs`, saying what was waited for.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  { limitMs = 60_000, everyMs = 50 } = {},
): Promise<T> {
  const limit = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > limit) throw new Error(`waited ${limitMs / 1000} s in vain for ${what}`);
    await pause(everyMs);
  }
}

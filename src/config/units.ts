import { z } from 'zod';

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };

function quantity(units: Readonly<Record<string, number>>, expected: string) {
  const pattern = new RegExp(`^(\\d{1,12})(${Object.keys(units).join('|')})$`);
  return z.string({ error: expected }).transform((text, context) => {
    const [, number, unit] = pattern.exec(text) ?? [];
    const value = Number(number) * (units[unit ?? ''] ?? Number.NaN);
    if (Number.isSafeInteger(value)) return value;
    context.addIssue({ code: 'custom', message: expected });
    return z.NEVER;
  });
}

/** A duration such as `500ms`, `30s`, `10m`, `24h` or `7d`; parsed to milliseconds. */
export const durationSchema = quantity(MILLISECONDS, 'expected a duration such as 500ms, 30s, 10m, 24h or 7d').meta({
  accepts: 'a duration',
});

/** A size such as `512B`, `64KiB`, `8MiB`, `100GiB` or `1TiB`; parsed to bytes. */
export const sizeSchema = quantity(BYTES, 'expected a size such as 64KiB, 8MiB, 100GiB or 1TiB').meta({
  accepts: 'a size',
});

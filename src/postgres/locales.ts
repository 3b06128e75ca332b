import { BrokerError } from '../errors.js';
import { type Server } from './server.js';
import { literal } from './sql.js';

const DEFAULT_LOCALE = 'C.UTF-8';
const FIELD = 'parameters.locale';

/**
 * @throws BrokerError invalid_request unless `locale` is C.UTF-8 or a language tag (BCP 47) whose language, script and
 * region the server's ICU library knows.
 */
export async function assertLocale(server: Server, locale: string, signal: AbortSignal): Promise<void> {
  const facts = await server.facts(signal);
  if (locale === DEFAULT_LOCALE && facts.knowsCUtf8) return;
  const candidates = tagsOf(locale).map((tag) => literal(`${tag}-x-icu`));
  if (candidates.length === 0) throw unknownLocale('expected C.UTF-8 or a language tag such as de-DE');
  const known = await server.sessions.query(
    `SELECT FROM pg_collation WHERE collprovider = 'i' AND collname IN (${candidates.join(', ')}) LIMIT 1`,
    { signal },
  );
  if (known.length === 0) throw unknownLocale('this locale is not known to the server');
}

/** The clauses of CREATE DATABASE. What ICU does not decide (dates, messages) is C.UTF-8. */
export async function localeClauses(server: Server, locale: string | undefined, signal: AbortSignal): Promise<string> {
  const { knowsCUtf8 } = await server.facts(signal);
  const base = `ENCODING 'UTF8' LOCALE ${literal(knowsCUtf8 ? DEFAULT_LOCALE : 'C')}`;
  if (locale === undefined || locale === DEFAULT_LOCALE) return base;
  const [tag] = canonical(locale);
  if (tag === undefined) throw unknownLocale('expected C.UTF-8 or a language tag such as de-DE');
  return `${base} LOCALE_PROVIDER icu ICU_LOCALE ${literal(tag)}`;
}

function unknownLocale(what: string): BrokerError {
  return new BrokerError('invalid_request', `${FIELD}: ${what}`);
}

/** The names under which ICU may list a tag: its own, and with script and region filled in or left out. */
function tagsOf(locale: string): string[] {
  return canonical(locale).flatMap((tag) => {
    const { language, script, region, baseName } = new Intl.Locale(tag);
    if (language === 'und') return [baseName];
    const full = new Intl.Locale(tag).maximize();
    const known = [script ?? full.script, region ?? full.region].filter((part) => part !== undefined);
    return [baseName, [language, ...known].join('-'), new Intl.Locale(tag).minimize().baseName];
  });
}

function canonical(locale: string): string[] {
  try {
    return locale.length > 100 ? [] : Intl.getCanonicalLocales(locale);
  } catch {
    return [];
  }
}

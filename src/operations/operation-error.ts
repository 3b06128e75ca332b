import { type BrokerError, type BrokerErrorOptions, type ErrorCode } from '../errors.js';

/** The members of an error beside code and text take no more than that in the state database, in characters. */
const MAX_CHARS = 256 * 1024;

/** Why an operation failed, or waits: code, text, and the further members of the error (`errors`, `node`, ...). */
export type OperationError = NonNullable<BrokerErrorOptions['details']> & { code: ErrorCode; detail: string };

/** What is kept of an error. Where its lists are too long, the last element says how many more there were. */
export function operationError({ code, message, details }: BrokerError): OperationError {
  let left = MAX_CHARS;
  const fits = (text: string) => (left -= text.length + 4) >= 0;
  const kept: NonNullable<BrokerErrorOptions['details']> = {};
  for (const [name, value] of Object.entries(details)) {
    if (!Array.isArray(value)) {
      if (fits(name + String(value))) kept[name] = value;
      continue;
    }
    const end = value.findIndex((element) => !fits(element));
    kept[name] = end < 0 ? value : [...value.slice(0, end), `and ${value.length - end} more`];
  }
  return { ...kept, code, detail: message };
}

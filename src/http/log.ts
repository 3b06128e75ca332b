import { type LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger, pino } from 'pino';
import { type BrokerConfig } from '../config/schema.js';
import { logContext } from './log-context.js';

/** Contexts in which the framework tells of its own start; of interest only to someone who looks for a fault. */
const FRAMEWORK_CONTEXTS = new Set([
  'NestFactory',
  'NestApplication',
  'InstanceLoader',
  'RoutesResolver',
  'RouterExplorer',
]);
const REDACTED = ['authorization', 'cookie', 'password', 'secret', 'private_key', 'uri', 'jdbcUrl'];

/** The log: JSON lines, or lines for people where it goes to a terminal. Every line carries the ids of its request or operation. */
export async function createLog(options: BrokerConfig['log'], stream?: DestinationStream): Promise<Logger> {
  const pretty = options.format === 'pretty' || (options.format === 'auto' && !stream && process.stdout.isTTY);
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // A copy: the logger writes the fields of the line into what it is given.
      mixin: () => ({ ...logContext.getStore() }),
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
      serializers: { err: describeError },
    },
    pretty ? await prettyStream(stream) : (stream ?? pino.destination({ fd: 1, sync: true })),
  );
}

async function prettyStream(stream?: DestinationStream): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const format = prettyFactory({
    colorize: stream === undefined && process.stdout.isTTY,
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  const out = stream ?? pino.destination({ fd: 1, sync: true });
  return { write: (line: string) => out.write(format(line) ?? line) };
}

/** Of an error only these are logged: drivers put statements and their values beside. URLs lose their passwords. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return withoutPasswords(String(error));
  const code = (error as { code?: unknown }).code;
  return {
    type: error.name,
    message: withoutPasswords(error.message),
    ...(typeof code === 'string' ? { code } : {}),
    stack: withoutPasswords(error.stack ?? ''),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}

function withoutPasswords(text: string): string {
  return text.replace(/:\/\/([^\s:@/]*):[^\s@]*@/g, '://$1:[redacted]@');
}

/** Carries what the modules and the framework log to the one log. */
export class FrameworkLog implements LoggerService {
  constructor(private readonly to: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.#write('info', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.#write('error', message, rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.#write('warn', message, rest);
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.#write('debug', message, rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.#write('trace', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.#write('fatal', message, rest);
  }

  #write(level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal', message: unknown, rest: unknown[]): void {
    const context = rest.length > 0 && typeof rest.at(-1) === 'string' ? rest.at(-1) : undefined;
    const others = context === undefined ? rest : rest.slice(0, -1);
    const error = [message, ...others].find((each) => each instanceof Error);
    const stack = others.find((each) => typeof each === 'string' && each.includes('\n    at '));
    const fields = {
      ...(typeof context === 'string' ? { context } : {}),
      ...(error === undefined ? {} : { err: error }),
      ...(stack === undefined ? {} : { stack: withoutPasswords(stack as string) }),
      ...(isPlain(message) ? message : {}),
      ...others.filter(isPlain).reduce((all, each) => ({ ...all, ...each }), {}),
    };
    const text = typeof message === 'string' ? message : message instanceof Error ? message.message : undefined;
    const quiet = level === 'info' && FRAMEWORK_CONTEXTS.has(String(context));
    this.to[quiet ? 'debug' : level](fields, text === undefined ? text : withoutPasswords(text));
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(value instanceof Error) && !Array.isArray(value);
}

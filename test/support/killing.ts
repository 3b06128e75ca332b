import { once } from 'node:events';
import { join } from 'node:path';
import { type BrokerOptions, type SpawnedBroker, spawnBroker } from './broker.js';
import { type Answer } from './client.js';

export interface KillPoint {
  /** The n-th statement from the order on, from 1. */
  killAt: number;
  /** Right before it is sent, or right after. */
  when: 'before' | 'sent';
}

/** A broker that can be told to kill itself at a statement. */
export function spawnMortal(options: BrokerOptions): Promise<SpawnedBroker> {
  return spawnBroker({ ...options, preload: [join(import.meta.dirname, 'kill-at.mjs')] });
}

/** The statements that the broker sends while `during` runs, each as `database: text`. */
export async function statementsOf(broker: SpawnedBroker, during: () => Promise<unknown>): Promise<string[]> {
  await told(broker, { watch: true });
  await during();
  return (await told(broker, { report: true })).statements ?? [];
}

/**
 * The broker is told to die at a point, then `ask` calls it; resolves when the process is gone. Where the work needed
 * fewer statements than that, it dies right after the answer.
 */
export async function killedAt(broker: SpawnedBroker, point: KillPoint, ask: () => Promise<Answer>): Promise<void> {
  await told(broker, { ...point });
  await ask().catch(() => undefined);
  await broker.kill();
}

/** Strikes at chosen points of a flow, one after the other; an error says at which. */
export async function eachPoint(
  broker: () => SpawnedBroker,
  flow: string[],
  most: number,
  strike: (n: number, point: KillPoint) => Promise<void>,
): Promise<void> {
  for (const [n, point] of killPoints(flow, most).entries()) {
    try {
      await strike(n, point);
    } catch (error) {
      const statement = `statement ${point.killAt} of ${flow.length}: ${flow[point.killAt - 1]?.slice(0, 300)}`;
      const log = broker().log.slice(-8).join('\n');
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`killed ${point.when} ${statement}\n${log}\n${reason}`, { cause: error });
    }
  }
}

/**
 * Where to strike: every statement that makes, changes or drops something on the servers (`ddl`), and some of the
 * others, at most `most` points, spread over the whole flow; every other one before the statement, the rest after it.
 */
function killPoints(statements: string[], most: number): KillPoint[] {
  const all = statements.flatMap((text, index) => [
    { killAt: index + 1, when: 'before' as const, weight: weightOf(text) },
    { killAt: index + 1, when: 'sent' as const, weight: weightOf(text) },
  ]);
  const ranked = all
    .map((point, index) => ({ ...point, index }))
    .sort((a, b) => b.weight - a.weight || a.index - b.index);
  const heavy = ranked.filter(({ weight }) => weight > 0);
  const chosen =
    heavy.length > most ? spread(heavy, most) : [...heavy, ...spread(ranked.slice(heavy.length), most - heavy.length)];
  return chosen.sort((a, b) => a.index - b.index).map(({ killAt, when }) => ({ killAt, when }));
}

function weightOf(text: string): number {
  return /\b(CREATE|ALTER|DROP|GRANT|REVOKE|REASSIGN|COMMIT|INSERT INTO|UPDATE|DELETE FROM)\b/i.test(text) ? 1 : 0;
}

function spread<T>(items: T[], most: number): T[] {
  if (items.length <= most) return items;
  return Array.from(
    { length: most },
    (_, n) => items[Math.round((n * (items.length - 1)) / Math.max(1, most - 1))] as T,
  );
}

async function told(broker: SpawnedBroker, order: object): Promise<{ statements?: string[] }> {
  const answered = once(broker.child, 'message') as Promise<[{ statements?: string[] }]>;
  broker.child.send(order);
  return (await answered)[0];
}

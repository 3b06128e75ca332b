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

/** The statements by which the broker changes something while `during` runs, each as `database: text`. */
export async function statementsOf(broker: SpawnedBroker, during: () => Promise<unknown>): Promise<string[]> {
  await told(broker, { watch: true });
  await during();
  return (await told(broker, { report: true })).statements ?? [];
}

/**
 * The broker is told to die at a point, then `ask` calls it; resolves when the process is gone. Only at the very end
 * of the work an answer may be faster than death.
 */
export async function killedAt(broker: SpawnedBroker, point: KillPoint, ask: () => Promise<Answer>): Promise<void> {
  await told(broker, { ...point });
  const answer = await ask().catch(() => undefined);
  if (answer && point.when === 'before')
    throw new Error(`it answered ${answer.status} ${answer.text} instead of dying`);
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
 * Where to strike: before and after every statement on a server of instances, and at writes to the state database
 * spread over the flow, at most `most` points in all.
 */
function killPoints(statements: string[], most: number): KillPoint[] {
  const points = statements.flatMap((text, index) =>
    (['before', 'sent'] as const).map((when) => ({ killAt: index + 1, when, onServer: !text.startsWith('state_') })),
  );
  const onServer = points.filter((point) => point.onServer);
  const inState = points.filter((point) => !point.onServer);
  const chosen = new Set([...spread(onServer, most), ...spread(inState, most - onServer.length)]);
  return points.filter((point) => chosen.has(point)).map(({ killAt, when }) => ({ killAt, when }));
}

function spread<T>(items: T[], most: number): T[] {
  if (items.length <= most) return items;
  if (most <= 0) return [];
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

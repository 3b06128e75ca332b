import { on } from 'node:events';
import { type SpawnedBroker } from './broker.js';
import { again, expectWhole, type Inhabitant, operationsOf, type World } from './world.js';
import { until } from './until.js';

/** A moment of the broker's work, see strike-at.mjs: `before text` or `after text`, `3x` for the third one. */
export type Moment = `${'before' | 'after'} ${string}`;

/** One flow on an instance of its own, which stands still at its moment until the broker is killed. */
export interface Lane {
  inhabitant: Inhabitant;
  /** Where it stands still; or what tells that it has come to where it waits by itself. */
  at: Moment | (() => Promise<boolean>);
  /** The call that begins it. */
  ask: () => Promise<unknown>;
  /** How the operation must end; `none`: it was never begun. Default: succeeded. */
  end?: 'succeeded' | 'failed' | 'cancelled' | 'none';
  /** Once it stands still, before the next one begins. */
  meanwhile?: () => Promise<unknown>;
  /** Writes down what must be true then. */
  means?: () => void;
}

/** Of these, another one at each call: what has just been struck need not be so again. */
export function takingTurns(among: Inhabitant[]): () => Inhabitant {
  let turn = 0;
  return () => among[turn++ % among.length] as Inhabitant;
}

/**
 * Brings every flow to its moment, kills the broker (-9), starts it again, and sees how each operation ends and that
 * exactly what must be there is there.
 */
export async function struckTogether(world: World, lanes: Lane[]): Promise<void> {
  const calls = await allAtTheirMoments(world, lanes);
  await world.broker.kill();
  await Promise.all(calls);
  await again(world);
  await expectEnds(world, lanes);
}

/** Brings every flow to its moment, cancels it there, and sees how each ends. */
export async function cancelledTogether(world: World, lanes: Lane[]): Promise<void> {
  const calls = await allAtTheirMoments(world, lanes);
  const { admin, child } = world.broker;
  const cancels = lanes.map(async ({ inhabitant }) => {
    const [operation] = await operationsOf(world, inhabitant.id);
    return admin.delete(`/operations/${String(operation?.['id'])}`);
  });
  // Where a transaction stands still the cancel waits for it.
  const waiting = Promise.all(cancels).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${world.broker.log.slice(-20).join('\n')}`);
  });
  await Promise.race([waiting, until('the cancels to come', () => allCancelled(world, lanes)).catch(() => undefined)]);
  child.send({ release: true });
  const answers = (await waiting).map(({ status }) => (status === 202 ? 'cancelled' : 'succeeded'));
  expect(answers).toEqual(lanes.map(({ end }) => end));
  await Promise.all(calls);
  await expectEnds(world, lanes);
}

async function allCancelled(world: World, lanes: Lane[]): Promise<boolean> {
  const rows = await Promise.all(lanes.map(({ inhabitant }) => operationsOf(world, inhabitant.id)));
  return rows.every(([operation]) => operation?.['cancel_requested'] === true);
}

/** Gives the calls, which break off with the broker. */
export async function allAtTheirMoments(world: World, lanes: Lane[]): Promise<Promise<unknown>[]> {
  expect(lanes).not.toEqual([]);
  const calls: Promise<unknown>[] = [];
  const not: string[] = [];
  for (const lane of lanes) {
    const struck = typeof lane.at === 'string' ? await armed(world.broker, lane.at, not) : lane.at;
    let answer: unknown;
    calls.push(
      lane.ask().then(
        (answered) => (answer = answered),
        () => undefined,
      ),
    );
    await until(`the moment ${String(lane.at)}`, struck, { limitMs: 30_000, everyMs: 10 }).catch(
      async (error: unknown) => {
        const said = [error, JSON.stringify(answer), ...(await seenBy(world.broker)), ...world.broker.log.slice(-5)];
        throw new Error(said.map(String).join('\n'));
      },
    );
    await lane.meanwhile?.();
    const [operation] = await operationsOf(world, lane.inhabitant.id);
    not.push(lane.inhabitant.database, `/${lane.inhabitant.id}/`, `"${lane.inhabitant.id}"`);
    if (operation) not.push(String(operation['id']));
  }
  return calls;
}

export async function expectEnds(world: World, lanes: Lane[]): Promise<void> {
  for (const { inhabitant, at, end = 'succeeded', means } of lanes) {
    const ended = await until(`the end of the work that was struck at ${String(at)}`, async () => {
      const [operation] = await operationsOf(world, inhabitant.id);
      return operation?.['finished_at'] === null ? undefined : (operation ?? {});
    });
    const { state, error } = ended;
    if (end !== 'none') expect({ at: String(at), state, error }).toMatchObject({ at: String(at), state: end });
    means?.();
  }
  await expectWhole(
    world,
    lanes.map(({ inhabitant }) => inhabitant),
  );
}

/** Orders the broker to stand still at the moment; the answer tells whether it does by now. */
async function armed({ child }: SpawnedBroker, moment: Moment, not: string[]): Promise<() => Promise<boolean>> {
  const [, when, nth = '1', at = ''] = /^(before|after) (?:(\d)x )?(.*)$/.exec(moment) ?? [];
  const ready = answered(child, 'armed');
  child.send({ strike: { at, nth: Number(nth), when, not } });
  await ready;
  let here = false;
  void answered(child, 'struck').then(() => (here = true));
  return () => Promise.resolve(here);
}

async function seenBy({ child }: SpawnedBroker): Promise<string[]> {
  const report = answered(child, 'seen');
  child.send({ report: true });
  return (await report) as string[];
}

async function answered(child: SpawnedBroker['child'], key: string): Promise<unknown> {
  for await (const [message] of on(child, 'message') as AsyncIterable<[Record<string, unknown>]>)
    if (key in message) return message[key];
  return undefined;
}

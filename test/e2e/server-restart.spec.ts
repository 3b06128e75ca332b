import { readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beginBackup, expectProblem, makeBackup } from '../support/backups.js';
import { type Answer } from '../support/client.js';
import { type Cluster, startCluster } from '../support/cluster.js';
import { held, hold, makeHoldable, release } from '../support/holding.js';
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.js';
import { allAtTheirMoments, expectEnds, type Lane } from '../support/striking.js';
import { until } from '../support/until.js';
import {
  change,
  expectSwept,
  expectWhole,
  type Inhabitant,
  leaveWorld,
  makeWorld,
  operationsOf,
  settle,
  type World,
} from '../support/world.js';

const MIB = 1024 * 1024;

let state: Cluster;
let disk: SmallDisk;
let world: World;
let inhabitant: Inhabitant;

beforeAll(async () => {
  [state, disk] = await Promise.all([startCluster(), mountSmallDisk(64 * MIB)]);
  world = await makeWorld({ config: { spool: { path: join(disk.dir, 'spool') } }, stateCluster: state });
  inhabitant = await settle(world, 'one', 9);
  // A crash of the server lets a sequence skip numbers.
  await inhabitant.run(`ALTER TABLE held ALTER id SET DEFAULT (random() * 1000000000)::int; DROP SEQUENCE held_id_seq`);
  await makeHoldable(inhabitant);
  await change(world, inhabitant);
  expect((await makeBackup(world.broker, 'one', { name: 'base' })).status).toBe(201);
  inhabitant.backups.set('base', 'local');
});

afterAll(async () => {
  await leaveWorld(world);
  await state?.remove();
  await disk?.unmount();
});

const spooled = () => readdir(join(disk.dir, 'spool'));

const dumping = (ask: Lane['ask']): Lane => ({ inhabitant, at: 'after file write .*/spool/', ask, end: 'failed' });

const toS3 = (name: string) => dumping(() => beginBackup(world.broker, 'one', { storage: 's3', name }));

async function failure(): Promise<unknown> {
  const ended = async () => (await operationsOf(world, 'one')).find(({ finished_at: at }, n) => n === 0 && at !== null);
  return (await until('the end of the operation', ended))['error'];
}

describe.each(['and comes back at once', 'and stays away until the work has failed'])(
  'the server stops in the middle %s',
  (how) => {
    const restarted = async (letGo: () => Promise<unknown>) => {
      await world.cluster.stop('immediate');
      if (how === 'and comes back at once') await world.cluster.start();
      await letGo();
      const error = await failure();
      if (how !== 'and comes back at once') await world.cluster.start();
      return error;
    };

    it('of a dump: it fails and says why, and nothing is left', async () => {
      const lane = toS3('cut-off');
      await Promise.all(await allAtTheirMoments(world, [lane]));
      const error = await restarted(() => Promise.resolve(world.broker.child.send({ release: true })));
      expect(error).toMatchObject({
        code: expect.stringMatching(/dump_failed|server_unreachable/) as string,
        detail: expect.stringMatching(/server/) as string,
      });
      await expectEnds(world, [lane]);
      expect(await spooled()).toEqual([]);
    });

    it('of a restore: it fails, nothing has changed, and nothing is left', async () => {
      const lane: Lane = {
        inhabitant,
        at: () => held(world.cluster),
        ask: async () => {
          await change(world, inhabitant);
          await hold(world.cluster);
          const headers = { prefer: 'respond-async' };
          await world.broker.admin.send('POST', '/restore_instance/one/base', { headers });
        },
        end: 'failed',
      };
      await Promise.all(await allAtTheirMoments(world, [lane]));
      const error = await restarted(() => Promise.resolve());
      await release(world.cluster);
      expect(error).toMatchObject({
        code: expect.stringMatching(/restore_failed|server_unreachable/) as string,
        detail: expect.stringMatching(/server/) as string,
      });
      await expectEnds(world, [lane]);
      expect(await spooled()).toEqual([]);
    });
  },
);

it('a disk that is full in the middle of a dump is 507, and nothing is left', async () => {
  let answer: Answer | undefined;
  const lane = dumping(async () => (answer = await makeBackup(world.broker, 'one', { storage: 's3', name: 'large' })));
  const calls = await allAtTheirMoments(world, [lane]);
  const others = join(disk.dir, 'others');
  const { bavail, bsize } = await statfs(disk.dir);
  await writeFile(others, Buffer.alloc(bavail * bsize));
  world.broker.child.send({ release: true });
  await Promise.all(calls);
  expectProblem(answer as Answer, 507, 'spool_full', /no space left/);
  expect(await spooled()).toEqual([]);
  await rm(others);
  await expectEnds(world, [lane]);
});

it('and then all is well', async () => {
  expect((await makeBackup(world.broker, 'one', { storage: 's3', name: 'whole' })).status).toBe(201);
  inhabitant.backups.set('whole', 's3');
  await expectWhole(world);
  await expectSwept(world);
});

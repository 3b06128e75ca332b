import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backupPath, beginBackup, makeBackup } from '../support/backups.js';
import { spawnBroker } from '../support/broker.js';
import { allAtTheirMoments, expectEnds, type Lane } from '../support/striking.js';
import { change, type Inhabitant, leaveWorld, makeWorld, settle, type World } from '../support/world.js';

let world: World;
const some: Inhabitant[] = [];

beforeAll(async () => {
  world = await makeWorld();
  for (const n of [0, 1, 2, 3, 4]) {
    const inhabitant = await settle(world, `some-${n}`);
    expect((await makeBackup(world.broker, inhabitant.id, { name: 'base', storage: 's3' })).status).toBe(201);
    inhabitant.backups.set('base', 's3');
    some.push(inhabitant);
  }
});

afterAll(() => leaveWorld(world));

const later = { headers: { prefer: 'respond-async' } };

it('what a killed broker was at goes on in the other: a backup to s3, restores before and after the swap, deletions', async () => {
  const [dumped, filled, swapped, half, gone] = some as [Inhabitant, Inhabitant, Inhabitant, Inhabitant, Inhabitant];
  const restore = (inhabitant: Inhabitant, at: Lane['at']): Lane => {
    const base = inhabitant.live;
    return {
      inhabitant,
      at,
      ask: async () => {
        await change(world, inhabitant);
        await world.broker.admin.send('POST', `/restore_instance/${inhabitant.id}/base`, later);
      },
      means: () => ([inhabitant.point, inhabitant.live] = [inhabitant.live, base]),
    };
  };
  const deletion = (inhabitant: Inhabitant, at: Lane['at']): Lane => ({
    inhabitant,
    at,
    ask: () => world.broker.admin.delete(backupPath(inhabitant.id, 'base'), later),
    means: () => inhabitant.backups.delete('base'),
  });
  const lanes: Lane[] = [
    {
      inhabitant: dumped,
      at: 'after file write .*/spool/',
      ask: () => beginBackup(world.broker, dumped.id, { storage: 's3', name: 'taken-over' }),
      means: () => dumped.backups.set('taken-over', 's3'),
    },
    restore(filled, 'before ANALYZE'),
    restore(swapped, 'after RENAME TO'),
    deletion(half, 'after http DELETE .*json'),
    deletion(gone, 'after http DELETE .*dump'),
  ];
  const calls = await allAtTheirMoments(world, lanes);
  const { broker } = world;
  const dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  const home = { ...broker.home, dataDir, config: { ...broker.home.config, data_dir: dataDir } };
  world.broker = await spawnBroker({ home });
  await broker.kill();
  await Promise.all(calls);
  await expectEnds(world, lanes);
});

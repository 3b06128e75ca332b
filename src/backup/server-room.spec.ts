import { type Restores } from '../postgres/restores.js';
import { type DiscardedDatabases } from './discarded-databases.js';
import { type RestorePoints } from './restore-points.js';
import { ServerRoom } from './server-room.js';

const never = new AbortController().signal;
const instance = { id: 'i', server: 's' };

let free: number;
let points: number[];

const restores = { freeBytes: () => Promise.resolve(free) } as unknown as Restores;
const discarded = { drop: () => Promise.resolve() } as unknown as DiscardedDatabases;
const known = {
  bytesOf: () => Promise.resolve(points.reduce((sum, bytes) => sum + bytes, 0)),
  giveUpOldest: () => {
    const given = points.shift();
    free += given ?? 0;
    return Promise.resolve(given !== undefined);
  },
} as unknown as RestorePoints;

const room = new ServerRoom(restores, known, discarded);

beforeEach(() => {
  [free, points] = [100, [50, 60, 70]];
});

it.each([
  [100, [50, 60, 70]],
  [101, [60, 70]],
  [151, [70]],
  [280, []],
])('of %d bytes costs no more restore points than it needs', async (bytes, left) => {
  await room.require(instance, bytes, never);
  expect(points).toEqual(left);
});

it('that cannot be made costs no restore point', async () => {
  const refused = room.require(instance, 281, never);
  await expect(refused).rejects.toMatchObject({ code: 'server_full', details: { missing_bytes: 181 } });
  expect(points).toEqual([50, 60, 70]);
});

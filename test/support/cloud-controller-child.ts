import { createInterface } from 'node:readline';
import { startCloudController } from './cloud-controller.js';

/**
 * The tests' Cloud Controller as a process of its own, for tests that are not TypeScript:
 * `node --import ./test/support/typescript-hooks.mjs test/support/cloud-controller-child.ts`. Writes one line of JSON:
 * its address, and who can log in. Then each line `{"do": ...}` on its input is answered with one line; it ends with
 * its input.
 */
interface Command {
  do: 'withdraw' | 'grant' | 'rotate_key' | 'token_lifetime' | 'requests';
  user?: 'developer' | 'manager' | 'auditor' | 'outsider' | 'admin';
  role?: 'space_developer' | 'space_manager' | 'space_auditor';
  seconds?: number;
}

const controller = await startCloudController();
const { world, uaa, faults } = controller;

async function carryOut(command: Command): Promise<object> {
  const user = world.users[command.user ?? 'developer'];
  switch (command.do) {
    case 'withdraw':
      world.withdraw(user);
      return {};
    case 'grant':
      world.grant(user, command.role ?? 'space_developer');
      return {};
    case 'rotate_key':
      await uaa.rotateKey();
      return {};
    case 'token_lifetime':
      uaa.lifetimeS = command.seconds ?? 600;
      return {};
    case 'requests':
      return { requests: faults.requests };
  }
}

function write(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

const users = Object.fromEntries(
  Object.entries(world.users).map(([name, { guid, password }]) => [name, { username: name, password, guid }]),
);
write({ url: controller.url, uaa: uaa.url, users, client: world.client, organization: 'org', space: 'space' });
for await (const line of createInterface({ input: process.stdin })) write(await carryOut(JSON.parse(line) as Command));
await controller.close();

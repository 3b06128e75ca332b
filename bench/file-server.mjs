import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { projectNode } from '../embedded/project.mjs';

const SELF = fileURLToPath(import.meta.url);

/** A plain static file server in a process of its own: GET gives `file`, PUT overwrites `target`. @param {string} file @param {string} target */
export async function startFileServer(file, target) {
  const child = spawn(projectNode(), [SELF, file, target], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const messages = /** @type {number[]} */ (await once(child, 'message'));
  return {
    url: `http://127.0.0.1:${messages[0]}/`,
    end: async () => {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

/** @param {string} file @param {string} target */
function serve(file, target) {
  const server = createServer((call, answer) => {
    const work = call.method === 'PUT' ? pipeline(call, createWriteStream(target)) : give(file, answer);
    work.then(
      () => answer.end(),
      (error) => answer.destroy(error instanceof Error ? error : undefined),
    );
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (typeof address === 'object') process.send?.(address?.port);
  });
  process.once('disconnect', () => process.exit());
}

/** @param {string} file @param {import('node:http').ServerResponse} answer */
async function give(file, answer) {
  answer.setHeader('content-length', (await stat(file)).size);
  await pipeline(createReadStream(file), answer);
}

if (process.argv[1] === SELF) serve(process.argv[2] ?? '', process.argv[3] ?? '');

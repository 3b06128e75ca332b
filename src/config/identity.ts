import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { StartError } from '../errors.js';
import { makeDataFolder } from './data-folder.js';

/** Which broker this is: its node, kept in the data folder, and its process, new at each start. */
export interface BrokerIdentity {
  readonly node: string;
  readonly process: string;
  /** `node/process`: who runs an operation, and the application_name of its sessions behind `broker/`. */
  readonly runner: string;
}

const NODE_ID = /^[a-z0-9]{12}$/;

/** Reads the node's id from the data folder, or draws one and keeps it there; draws the process's id. @throws StartError about the folder */
export async function loadIdentity(dataDir: string): Promise<BrokerIdentity> {
  await makeDataFolder(dataDir);
  const node = nodeId(join(dataDir, 'node-id'));
  const process = drawId();
  return Object.freeze({ node, process, runner: `${node}/${process}` });
}

/** Two processes of one node would end each other's sessions and take over each other's work. */
class DataFolderInUse extends StartError {
  override readonly name = 'DataFolderInUse';
}

/**
 * Keeps other processes from working as the same node, as long as this one lives: by a name in Linux's abstract socket
 * namespace (unix(7)), which the kernel frees with the process. Elsewhere, and between containers that do not share
 * their network, nothing keeps them.
 * @throws DataFolderInUse
 */
export async function holdDataFolder(dataDir: string, { node }: BrokerIdentity): Promise<void> {
  if (process.platform !== 'linux') return;
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const text = `another broker process uses the data folder ${dataDir}: end it, or set data_dir to another folder`;
      reject(error.code === 'EADDRINUSE' ? new DataFolderInUse(text) : error);
    });
    server.listen(`\0postgresql-broker/${node}`, resolve);
  });
  server.unref();
}

function nodeId(file: string): string {
  const fresh = `${file}.${drawId()}`;
  writeFileSync(fresh, drawId(), { mode: 0o600 });
  try {
    linkSync(fresh, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(fresh);
  }
  const kept = readFileSync(file, 'utf8').trim();
  if (!NODE_ID.test(kept)) throw new Error(`expected 12 letters or digits in ${file}: delete it to have one drawn`);
  return kept;
}

function drawId(): string {
  return randomBytes(6).toString('hex');
}

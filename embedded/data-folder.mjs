import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BROKER_ROLE, isCluster, makeServerFolder, STATE } from './cluster.mjs';
import { dataFolderModule } from './configuration.mjs';
import { makeSecretFile, readJson, writeSecretFile } from './files.mjs';
import { drawPassword } from './scram.mjs';
import { findFreePort } from './server.mjs';
import { serverUser, serverUserReaches } from './server-user.mjs';

/**
 * What the embedded mode gives to the broker, in the form of its configuration file.
 * @typedef {object} EmbeddedSettings
 * @property {{ credentials: [{ password: string }] }} platform
 * @property {{ credentials: [{ password: string }] }} admin
 * @property {{ url: string, encryption_keys: { id: string, secret: string }[] }} state
 * @property {[{ name: string, url: string, sslmode: 'disable' }]} servers
 */

/** Where the data of PostgreSQL itself are kept when its user cannot reach the data folder. */
const SYSTEM_FOLDER = '/var/lib/postgresql-broker';

/**
 * Makes the data folder, or looks whether it can be one. Nothing of one that is there changes: another start may use it.
 * @param {string} folder
 * @returns {Promise<string>} its real path
 */
export async function openDataFolder(folder) {
  const { makeDataFolder } = await dataFolderModule();
  await makeDataFolder(folder, faultOf);
  return realpathSync(folder);
}

/** @param {string} folder */
function faultOf(folder) {
  const { mode, uid } = statSync(folder);
  if (uid !== process.getuid?.())
    return `the data folder ${folder} belongs to another user: start as that user, or use another folder`;
  if ((mode & 0o1000) !== 0) return `${folder} is shared with others: use a folder of its own`;
  return undefined;
}

/**
 * The folder that holds `postgres`, with the cluster in it, and `socket`: the data folder, unless the server's user
 * cannot reach it. Once chosen it stays. Only for who holds the data folder's lock.
 * @param {string} dataFolder
 */
export function openServerFolder(dataFolder) {
  const { uid } = serverUser();
  if (uid === undefined) return ownedByServer(dataFolder);
  const chosen = join(dataFolder, 'postgres-folder');
  if (existsSync(chosen)) return ownedByServer(readFileSync(chosen, 'utf8').trim());
  const mode = statSync(dataFolder).mode & 0o7777;
  // Another user passes through the data folder, and reads nothing of it.
  if (!serverUserReaches(dataFolder)) chmodSync(dataFolder, mode | 0o011);
  if (existsSync(join(dataFolder, 'postgres')) || serverUserReaches(dataFolder)) return ownedByServer(dataFolder);
  chmodSync(dataFolder, mode);
  makeSecretFile(chosen, `${join(SYSTEM_FOLDER, randomBytes(8).toString('hex'))}\n`);
  return openServerFolder(dataFolder);
}

/** @param {string} folder */
function ownedByServer(folder) {
  if (folder.startsWith(SYSTEM_FOLDER)) {
    mkdirSync(folder, { recursive: true });
    for (const path of [SYSTEM_FOLDER, folder]) chmodSync(path, 0o711);
  }
  const inside = join(folder, 'postgres');
  if (existsSync(inside) && statSync(inside).uid !== (serverUser().uid ?? process.getuid?.()))
    throw new Error(`${inside} belongs to another user: start as the user who made it`);
  makeServerFolder(inside);
  return folder;
}

/** The settings as they are, or as a first start would draw them; nothing is kept. @param {string} dataFolder */
export function previewSettings(dataFolder) {
  const file = settingsFile(dataFolder);
  return existsSync(file) ? /** @type {EmbeddedSettings} */ (readJson(file)) : drawSettings(5432);
}

/** The settings made at the first start; made now if this is it. @param {string} dataFolder */
export async function openSettings(dataFolder) {
  const file = settingsFile(dataFolder);
  if (!existsSync(file)) {
    if (isCluster(join(dataFolder, 'postgres')) || existsSync(join(dataFolder, 'postgres-folder')))
      throw new Error(
        `${file} is missing: without its passwords and key the data in ${dataFolder} cannot be used; put it back`,
      );
    makeSecretFile(file, `${JSON.stringify(drawSettings(await findFreePort()), null, 2)}\n`);
  }
  return /** @type {EmbeddedSettings} */ (readJson(file));
}

/** The superuser's password, for the operator; the broker never reads it. @param {string} dataFolder */
export function superuserPassword(dataFolder) {
  const file = join(dataFolder, 'postgres-password');
  makeSecretFile(file, `${drawPassword()}\n`);
  return readFileSync(file, 'utf8').trim();
}

/** @param {EmbeddedSettings} settings */
export function portOf(settings) {
  return Number(new URL(settings.state.url).port);
}

/** @param {EmbeddedSettings} settings */
export function passwordsOf(settings) {
  return { broker: new URL(settings.servers[0].url).password, state: new URL(settings.state.url).password };
}

/** Writes down that PostgreSQL listens on another port from now on. @param {string} dataFolder @param {EmbeddedSettings} settings @param {number} port */
export function changePort(dataFolder, settings, port) {
  const { broker, state } = passwordsOf(settings);
  settings.state.url = stateUrl(state, port);
  settings.servers[0].url = serverUrl(broker, port);
  writeSecretFile(settingsFile(dataFolder), `${JSON.stringify(settings, null, 2)}\n`);
}

/** @param {string} dataFolder */
function settingsFile(dataFolder) {
  return join(dataFolder, 'embedded.json');
}

/** @param {number} port @returns {EmbeddedSettings} */
function drawSettings(port) {
  return {
    platform: { credentials: [{ password: drawPassword() }] },
    admin: { credentials: [{ password: drawPassword() }] },
    state: {
      url: stateUrl(drawPassword(), port),
      encryption_keys: [{ id: 'first', secret: randomBytes(32).toString('base64') }],
    },
    servers: [{ name: 'default', url: serverUrl(drawPassword(), port), sslmode: 'disable' }],
  };
}

/** @param {string} password @param {number} port */
function stateUrl(password, port) {
  return `postgres://${STATE}:${password}@127.0.0.1:${port}/${STATE}`;
}

/** @param {string} password @param {number} port */
function serverUrl(password, port) {
  return `postgres://${BROKER_ROLE}:${password}@127.0.0.1:${port}/postgres`;
}

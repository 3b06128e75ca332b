import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSecretFile } from './files.mjs';

/** @typedef {import('./configuration.mjs').BrokerConfig} BrokerConfig */
/** @typedef {{ realm: 'platform' | 'admin', username: string, password: string, file: string | undefined }} Login */

/**
 * The logins to try. In the embedded mode each password is also kept in a file, from which the printed commands read it.
 * @param {BrokerConfig} config
 * @param {string | undefined} dataFolder of the embedded mode
 * @returns {Login[]}
 */
export function logins(config, dataFolder) {
  return /** @type {const} */ (['platform', 'admin']).map((realm) => {
    const [credential] = config[realm].credentials;
    const password = credential?.password.reveal() ?? '';
    const file = dataFolder && join(dataFolder, `${realm}-password`);
    if (file && !(existsSync(file) && readFileSync(file, 'utf8') === `${password}\n`))
      writeSecretFile(file, `${password}\n`);
    return { realm, username: credential?.username ?? realm, password, file };
  });
}

/**
 * What a person needs to know of a broker that is ready.
 * @param {string} url as the broker listens
 * @param {Login[]} users
 * @param {boolean} showPasswords
 */
export function announcement(url, users, showPasswords) {
  const reachable = reachableUrl(url);
  const insecure = reachable.startsWith('https:') ? ' --insecure' : '';
  const curl = (/** @type {Login['realm'] | undefined} */ realm, /** @type {string} */ rest) => {
    const user = users.find((login) => login.realm === realm);
    return `  curl${insecure}${user ? ` -u ${userArgument(user)}` : ''} ${rest}`;
  };
  return [
    '',
    `The broker listens on ${reachable}`,
    ...users.map(
      (user) =>
        `  ${user.realm} user: ${user.username}, password ${user.file ? `in ${user.file}` : 'as configured'}${showPasswords ? `: ${user.password}` : ''}`,
    ),
    'Try:',
    curl('platform', `-H 'X-Broker-API-Version: 2.17' ${reachable}/v2/catalog`),
    curl('admin', `${reachable}/operations`),
    curl(undefined, `${reachable}/readyz`),
    'Ctrl-C ends it.',
    '',
  ].join('\n');
}

/** @param {Login} user */
function userArgument({ username, file }) {
  // Without a file curl asks for the password.
  return file ? `${quoted(`${username}:`)}"$(cat ${quoted(file)})"` : quoted(username);
}

/** A word of the shell. @param {string} text */
function quoted(text) {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** An address that listens for everybody is none to connect to. @param {string} url */
function reachableUrl(url) {
  return url.replace(/^(https?:\/\/)(0\.0\.0\.0|\[::\])(?=[:/]|$)/, '$1127.0.0.1').replace(/\/$/, '');
}

import { Agent, request } from 'node:http';
import { run } from '../embedded/run.mjs';

/** The calls of an admin. Archives go through curl, as they do in the comparison. */
export class AdminClient {
  #agent = new Agent({ keepAlive: true });
  #user;

  /** @param {import('./bench-broker.mjs').BenchBroker} broker */
  constructor(broker) {
    this.url = broker.url;
    this.#user = `${broker.admin.username}:${broker.admin.password}`;
  }

  /** @param {string} instance @param {string} storage @param {string} name */
  async backup(instance, storage, name) {
    await this.#expect(201, 'POST', `/backup_instance/${instance}?storage=${storage}&name=${name}`);
  }

  /** @param {string} instance @param {string} name */
  async remove(instance, name) {
    await this.#expect(200, 'DELETE', `/backups/${instance}/${name}`);
  }

  /** @param {string} instance @param {string} name @returns {Promise<number>} ms that the database was away, as the broker says */
  restore(instance, name) {
    return this.#swap(`/restore_instance/${instance}/${name}`);
  }

  /** @param {string} instance */
  undo(instance) {
    return this.#swap(`/undo_restore/${instance}`);
  }

  /** @param {string} instance @param {string} name */
  async download(instance, name) {
    const url = `${this.url}/download_backup/${instance}/${name}`;
    await this.#curl('--output', '/dev/null', url);
  }

  /** @param {string} instance @param {string} name @param {string} file */
  async upload(instance, name, file) {
    const url = `${this.url}/upload_backup/${instance}/${name}`;
    await this.#curl('--header', 'Content-Type: application/octet-stream', '--upload-file', file, url);
  }

  close() {
    this.#agent.destroy();
  }

  /** @param {string[]} args */
  async #curl(...args) {
    await run('curl', [...CURL, '--config', '-', ...args], { input: `user = "${this.#user}"\n` });
  }

  /** @param {string} path */
  async #swap(path) {
    const answer = /** @type {unknown} */ (JSON.parse(await this.#expect(200, 'POST', path)));
    return /** @type {{ outage_ms: number }} */ (answer).outage_ms;
  }

  /** @param {number} expected @param {string} method @param {string} path @returns {Promise<string>} */
  #expect(expected, method, path) {
    return new Promise((resolve, reject) => {
      const call = request(this.url + path, { method, auth: this.#user, agent: this.#agent }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (/** @type {string} */ chunk) => (text += chunk));
        answer.on('end', () =>
          answer.statusCode === expected
            ? resolve(text)
            : reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`)),
        );
      });
      call.on('error', reject);
      call.end();
    });
  }
}

export const CURL = ['--silent', '--show-error', '--fail-with-body'];

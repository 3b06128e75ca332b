import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';

/** Between two queries of a client, and between two attempts to connect. */
const PAUSE_MS = 5;

/** Applications that query all the time and connect anew when their connection is lost. */
export class ReconnectingClients {
  #running = true;
  /** @type {Promise<void>[]} */
  #loops;
  /** @type {Outage[]} */
  #seen;

  /** @param {string} url @param {number} count */
  constructor(url, count) {
    this.#seen = Array.from({ length: count }, () => new Outage());
    this.#loops = this.#seen.map((seen) => this.#loop(url, seen));
  }

  /**
   * @param {() => Promise<unknown>} work that takes the database away once
   * @returns {Promise<number[]>} milliseconds from the last answer before to the first one after, of each client that noticed
   */
  async during(work) {
    await this.#all((seen) => seen.answers > 0);
    for (const seen of this.#seen) seen.longest = 0;
    await work();
    const answered = this.#seen.map((seen) => seen.answers);
    await this.#all((seen, index) => seen.answers > (answered[index] ?? 0) + 1);
    return this.#seen.map((seen) => seen.longest).filter((ms) => ms > 0);
  }

  async end() {
    this.#running = false;
    await Promise.all(this.#loops);
  }

  /** @param {(seen: Outage, index: number) => boolean} condition */
  async #all(condition) {
    while (!this.#seen.every(condition)) await wait(PAUSE_MS);
  }

  /** @param {string} url @param {Outage} seen */
  async #loop(url, seen) {
    while (this.#running) {
      const client = new pg.Client(url);
      client.on('error', () => {
        // The next query fails.
      });
      try {
        await client.connect();
        while (this.#running) {
          await client.query('SELECT count(*) FROM (SELECT FROM customer LIMIT 10) c');
          seen.answer();
          await wait(PAUSE_MS);
        }
      } catch {
        seen.failure();
        await wait(PAUSE_MS);
      } finally {
        void client.end().catch(() => undefined);
      }
    }
  }
}

/** What one client sees. */
class Outage {
  answers = 0;
  longest = 0;
  #last = performance.now();
  #failed = false;

  answer() {
    const now = performance.now();
    if (this.#failed) this.longest = Math.max(this.longest, now - this.#last);
    this.#failed = false;
    this.#last = now;
    this.answers += 1;
  }

  failure() {
    this.#failed = true;
  }
}

import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type FlattenedJWSInput,
  type JWSHeaderParameters,
  type JWTVerifyGetKey,
} from 'jose';
import { BrokerError } from '../errors.js';
import { type ControllerClient, unreachable } from './controller-client.js';

/** Least time between two fetches that unknown keys have caused, in ms. */
const RELOAD_MS = 60_000;
/** After a fetch that failed the next one waits so long, in ms. */
const PAUSE_MS = 1_000;

type Key = Awaited<ReturnType<JWTVerifyGetKey>>;

/** The UAA's keys: fetched when the first token comes, and again when a token names one that is not among them. */
export class KeySet {
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;
  #reload: { done: Promise<void>; until: number } | undefined;

  constructor(
    private readonly url: string,
    client: ControllerClient,
    private readonly now: () => number,
  ) {
    this.#keys = createRemoteJWKSet(new URL(url), {
      cooldownDuration: Infinity,
      cacheMaxAge: Infinity,
      [customFetch]: async () => Response.json(await client.json(url)),
    });
  }

  /**
   * The key that a token names, as `jwtVerify` wants it.
   * @throws JWKSNoMatchingKey where there is none; BrokerError `controller_unreachable`
   */
  readonly find = async (header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<Key> => {
    // Without a name any key would do as long as there is only one.
    if (typeof header.kid !== 'string') throw new errors.JWKSNoMatchingKey();
    try {
      return await this.#find(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof BrokerError) throw error;
      throw unreachable(this.url, 'no usable keys');
    }
  };

  async #find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<Key> {
    try {
      return await this.#keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#reloaded();
      return this.#keys(header, token);
    }
  }

  /** That a key is unknown is certain only after a fetch that went well: all wait for the same, or fail with it. */
  #reloaded(): Promise<void> {
    const now = this.now();
    if (this.#reload !== undefined && now < this.#reload.until) return this.#reload.done;
    const reload = { done: this.#keys.reload(), until: now + RELOAD_MS };
    this.#reload = reload;
    reload.done.catch(() => (reload.until = this.now() + PAUSE_MS));
    return reload.done;
  }
}

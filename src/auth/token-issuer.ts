import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { ControllerClient, unreachable } from './controller-client.js';
import { KeySet } from './key-set.js';

/** How long what was found out is relied on, in ms; keys that the UAA gave up are trusted no longer than that. */
const RELY_MS = 600_000;
/** After a failure the next question waits so long, in ms. */
const PAUSE_MS = 1_000;

const rootDocument = z.object({ links: z.object({ uaa: z.object({ href: z.url({ protocol: /^https?$/ }) }) }) });
const discovery = z.object({ issuer: z.string().min(1) });

export interface Issuer {
  /** What `iss` must be. */
  issuer: string;
  keys: KeySet;
}

/** The UAA, found from the Cloud Controller's root document when the first token comes. */
@Injectable()
export class TokenIssuer {
  #found: { issuer: Promise<Issuer>; until: number } | undefined;

  constructor(private readonly client: ControllerClient) {}

  /** @throws BrokerError `controller_unreachable` */
  find(): Promise<Issuer> {
    const now = performance.now();
    if (this.#found !== undefined && now < this.#found.until) return this.#found.issuer;
    const found = { issuer: this.#discover(), until: now + RELY_MS };
    this.#found = found;
    found.issuer.catch(() => (found.until = performance.now() + PAUSE_MS));
    return found.issuer;
  }

  async #discover(): Promise<Issuer> {
    const { url = '' } = this.client;
    const root = rootDocument.safeParse(await this.client.json(`${url}/`));
    if (!root.success) throw unreachable(url, 'its root document names no UAA');
    const uaa = root.data.links.uaa.href.replace(/\/+$/, '');
    if (url.startsWith('https:') && !uaa.startsWith('https:'))
      throw unreachable(url, 'the UAA that it names has no TLS');
    const found = discovery.safeParse(await this.client.json(`${uaa}/.well-known/openid-configuration`));
    if (!found.success) throw unreachable(uaa, 'it names no issuer');
    return {
      issuer: found.data.issuer,
      keys: new KeySet(`${uaa}/token_keys`, this.client, () => performance.now()),
    };
  }
}

import { type RealmName } from './realm.js';

/** Who asked for a change: an admin by user name, or the platform's user of the originating identity. */
export interface Requester {
  realm: 'platform' | 'admin' | 'user' | 'broker';
  /** The credential's user name in realms platform and admin. */
  username?: string;
  /** `X-Broker-API-Originating-Identity`: its platform and the decoded JSON (OSB 2.17, Originating Identity). */
  originating?: { platform: string; value: Record<string, unknown> };
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set before any body is read, on every route but those of realm `public`. */
    requester: Requester;
  }
  interface FastifyContextConfig {
    /** Set from `@Realm`; absent: closed to everybody. */
    realm?: RealmName;
  }
}

import { type RealmName } from './realm.js';
import { type Rights } from './rights.js';
import { type UserMay } from './user-may.js';

/** Who asked for a change: an admin or a Cloud Foundry user by name, or the platform's user of the originating identity. */
export interface Requester {
  realm: 'platform' | 'admin' | 'user' | 'broker';
  /** The credential's user name in realms platform and admin, the token's `user_name` (or client) in realm user. */
  username?: string;
  /** In realm user: the token's `user_id` (or client). */
  user_id?: string;
  /** `X-Broker-API-Originating-Identity`: its platform and the decoded JSON (OSB 2.17, Originating Identity). */
  originating?: { platform: string; value: Record<string, unknown> };
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set before any body is read, on every route but those of realm `public`. */
    requester: Requester;
    /** What the caller may do; set with `requester`. */
    rights: Rights;
  }
  interface FastifyContextConfig {
    /** Set from `@Realm`; absent: closed to everybody. */
    realm?: RealmName;
    /** Set from `@UserMay`; absent: closed to Cloud Foundry users. */
    userMay?: UserMay;
  }
}

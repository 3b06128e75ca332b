/** Who asked for a change: an admin by user name, or the platform's user of the originating identity. */
export interface Requester {
  realm: 'platform' | 'admin' | 'user' | 'broker';
  /** The credential's user name in realms platform and admin. */
  username?: string;
  /** `X-Broker-API-Originating-Identity`: its platform and the decoded JSON (OSB 2.17, Originating Identity). */
  originating?: { platform: string; value: Record<string, unknown> };
}

import { BrokerError, unknownInstance } from '../errors.js';
import { type InstancePermissions } from './instance-permissions.js';

/** `read`: see backups and operations of an instance. `manage`: change them, and have what is in them. */
export type Right = 'read' | 'manage';

/** What a caller may do with service instances. */
export interface Rights {
  /** Whether every instance is open to the caller. */
  readonly all: boolean;
  /**
   * Rejects unless the caller has the right. Without even `read` the instance is, to this caller, as one that does not
   * exist.
   * @param unknown what is thrown then
   * @throws BrokerError `unknown`; `forbidden` for `manage` with `read` only; `controller_unreachable`;
   *   `unauthenticated` where the Cloud Controller refuses the token
   */
  assert(right: Right, instanceId: string, unknown?: BrokerError): Promise<void>;
}

export const ALL_RIGHTS: Rights = { all: true, assert: () => Promise.resolve() };

/** Of a Cloud Foundry user, as the Cloud Controller judges by the user's own token. */
export class UserRights implements Rights {
  readonly all = false;
  readonly #token: string;

  constructor(
    token: string,
    private readonly permissions: InstancePermissions,
  ) {
    this.#token = token;
  }

  async assert(right: Right, instanceId: string, unknown: BrokerError = unknownInstance()): Promise<void> {
    const { read, manage } = await this.permissions.of(this.#token, instanceId);
    if (!read) throw unknown;
    if (right === 'manage' && !manage)
      throw new BrokerError(
        'forbidden',
        'this needs the right to manage the service instance, as its space developers have it',
      );
  }
}

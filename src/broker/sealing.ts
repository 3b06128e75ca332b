import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { BROKER_CONFIG } from '../config/config.module.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';

const ALGORITHM = 'aes-256-gcm';
/** NIST SP 800-38D: 96 bits are the length for which GCM is made. */
const IV_BYTES = 12;

/**
 * Encrypts the passwords of bindings at rest: `keyId.iv.ciphertext.tag`, base64url. The first configured key
 * encrypts, all of them decrypt. A sealed text opens only for the instance and the binding it was sealed for.
 */
@Injectable()
export class Sealing {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #current: string;

  constructor(@Inject(BROKER_CONFIG) config: BrokerConfig) {
    const keys = config.state.encryption_keys.map(
      ({ id, secret }) => [id, Buffer.from(secret.reveal(), 'base64')] as const,
    );
    this.#keys = new Map(keys);
    this.#current = keys[0]?.[0] ?? '';
  }

  seal(text: string, instanceId: string, bindingId: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key(this.#current), iv);
    cipher.setAAD(boundTo(instanceId, bindingId));
    const parts = [iv, Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]), cipher.getAuthTag()];
    return [this.#current, ...parts.map((part) => part.toString('base64url'))].join('.');
  }

  /** @throws BrokerError `encryption_key` where the key is not configured, or the text is not what it has sealed for this binding */
  open(sealed: string, instanceId: string, bindingId: string): string {
    const [keyId = '', iv = '', ciphertext = '', tag = ''] = sealed.split('.');
    const key = this.#key(keyId);
    try {
      const decipher = createDecipheriv(ALGORITHM, key, Buffer.from(iv, 'base64url'), { authTagLength: 16 });
      decipher.setAAD(boundTo(instanceId, bindingId));
      decipher.setAuthTag(Buffer.from(tag, 'base64url'));
      return Buffer.concat([decipher.update(Buffer.from(ciphertext, 'base64url')), decipher.final()]).toString('utf8');
    } catch (cause) {
      const text = `the encryption key of the id ${keyId} does not open this password: it is another key by now, or the row was changed`;
      throw new BrokerError('encryption_key', text, { cause });
    }
  }

  /** The id of the key that encrypts. */
  get current(): string {
    return this.#current;
  }

  /** Those that decrypt only. */
  get former(): string[] {
    return [...this.#keys.keys()].filter((id) => id !== this.#current);
  }

  /** Those of the ids whose keys are not configured. */
  missing(ids: Iterable<string>): string[] {
    return [...ids].filter((id) => !this.#keys.has(id));
  }

  #key(id: string): Buffer {
    const key = this.#keys.get(id);
    if (key === undefined)
      throw new BrokerError(
        'encryption_key',
        `no encryption key of the id ${id} is configured (state.encryption_keys)`,
      );
    return key;
  }
}

function boundTo(instanceId: string, bindingId: string): Buffer {
  return Buffer.from(JSON.stringify([instanceId, bindingId]));
}

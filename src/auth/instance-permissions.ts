import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { BrokerError } from '../errors.js';
import { challengesOf } from './challenges.js';
import { ControllerClient, parsed, unreachable } from './controller-client.js';

/** How long an answer counts, in ms, from when it was asked for. */
const RELY_MS = 10_000;
const MAX_ANSWERS = 10_000;

/**
 * A guid exactly as the Cloud Controller writes them. Its database may find one by another spelling too (letters'
 * case, spaces at the end), which would be an instance of its own here.
 */
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const permissions = z
  .object({ read: z.boolean(), manage: z.boolean() })
  .refine(({ read, manage }) => read || !manage, 'whoever may manage may read');
/** CF-ResourceNotFound; the router's own 404, while the Cloud Controller is away, has no such body. */
const notFound = z.object({ errors: z.array(z.object({ code: z.literal(10010) })).min(1) });
/** CF-NotAuthorized and CF-InsufficientScope; a 403 of what stands before the controller has no such body. */
const noScope = z.object({ errors: z.array(z.object({ code: z.literal([10003, 10007]) })).min(1) });

export interface Permissions {
  read: boolean;
  manage: boolean;
}

const NONE: Permissions = { read: false, manage: false };

interface Known {
  answer: Promise<Permissions>;
  askedAt: number;
}

/** What users may do with service instances, as the Cloud Controller says when it is asked with their own tokens. */
@Injectable()
export class InstancePermissions {
  /** By a hash of the token and the instance's guid, the oldest first. */
  readonly #known = new Map<string, Known>();

  constructor(private readonly client: ControllerClient) {}

  /** For tests of what time does. */
  protected now(): number {
    return performance.now();
  }

  get size(): number {
    return this.#known.size;
  }

  /**
   * @throws BrokerError `controller_unreachable` where there is no answer that can be used; `unauthenticated` where the
   *   Cloud Controller refuses the token
   */
  of(token: string, instanceId: string): Promise<Permissions> {
    if (!GUID.test(instanceId)) return Promise.resolve(NONE);
    const key = `${createHash('sha256').update(token).digest('base64')} ${instanceId}`;
    const known = this.#known.get(key);
    if (known !== undefined && this.now() - known.askedAt < RELY_MS) return known.answer;
    return this.#ask(key, token, instanceId);
  }

  #ask(key: string, token: string, instanceId: string): Promise<Permissions> {
    const asked = { answer: this.#answer(token, instanceId), askedAt: this.now() };
    this.#known.delete(key);
    this.#makeRoom();
    this.#known.set(key, asked);
    const forget = () => {
      if (this.#known.get(key) === asked) this.#known.delete(key);
    };
    // A right that was just given is to count at once; nor is a failure remembered.
    asked.answer.then(({ read }) => read || forget(), forget);
    return asked.answer;
  }

  async #answer(token: string, instanceId: string): Promise<Permissions> {
    const { url = '' } = this.client;
    const path = `/v3/service_instances/${encodeURIComponent(instanceId)}/permissions`;
    const { status, text } = await this.client.get(`${url}${path}`, token);
    if (status === 401)
      throw new BrokerError('unauthenticated', 'the Cloud Controller refuses the token', {
        challenges: challengesOf('admin', 'refused'),
      });
    const body = parsed(text);
    if (status === 403 && noScope.safeParse(body).success)
      throw new BrokerError('forbidden', 'the token lacks the scope to ask the Cloud Controller for rights');
    if (status === 404 && notFound.safeParse(body).success) return NONE;
    const answer = status === 200 ? permissions.safeParse(body) : undefined;
    if (answer?.success) return answer.data;
    throw unreachable(url, status === 200 ? 'it does not say what the user may do' : `status ${status}`);
  }

  #makeRoom(): void {
    if (this.#known.size < MAX_ANSWERS) return;
    const oldest = this.#known.keys().next();
    if (!oldest.done) this.#known.delete(oldest.value);
  }
}

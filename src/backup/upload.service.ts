import { Inject, Injectable } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import { BROKER_CONFIG, BROKER_IDENTITY } from '../config/config.module.js';
import { type BrokerIdentity } from '../config/identity.js';
import { type BrokerConfig } from '../config/schema.js';
import { BrokerError } from '../errors.js';
import { type Operation } from '../operations/operation.entity.js';
import { OperationsService } from '../operations/operations.service.js';
import { type Caller } from './backup.service.js';
import { sha256Of } from './content-digest.js';
import { type Arrival, type Reception, Receptions, tooLarge } from './reception.js';
import { type UploadAsk, UploadChecks } from './upload-checks.js';
import { type UploadInput } from './upload-receiving.js';

/** Should this broker die while the body comes, another one ends the operation after so long, in ms. */
const NODE_MS = 60_000;
/** Longest upload that is waited for, in ms. */
const LONGEST_MS = 20 * 86_400_000;

/** Begins uploads: what can be known without their body is known before any of it is asked for. */
@Injectable()
export class UploadService {
  constructor(
    private readonly checks: UploadChecks,
    private readonly receptions: Receptions,
    private readonly operations: OperationsService,
    @Inject(BROKER_CONFIG) private readonly config: BrokerConfig,
    @Inject(BROKER_IDENTITY) private readonly identity: BrokerIdentity,
  ) {}

  /**
   * Resolves when the body has come, or is not wanted any more.
   * @throws BrokerError before anything is begun, or of `begin`
   */
  async upload(ask: UploadAsk, request: FastifyRequest, accept: () => void, caller: Caller): Promise<Operation> {
    const arrival = this.#arrival(request, accept);
    const storage = await this.checks.check(ask, arrival.announced ?? 0);
    const reception = this.receptions.open(arrival);
    try {
      const operation = await this.#begin(ask, storage, reception, caller);
      await Promise.race([reception.ended, this.operations.settled(operation.id, LONGEST_MS, hungUp(request))]);
      return operation;
    } finally {
      this.receptions.close(reception);
    }
  }

  #begin(ask: UploadAsk, storage: string, reception: Reception, caller: Caller): Promise<Operation> {
    const { instanceId, name } = ask;
    const input: UploadInput = { storage, name, reception: reception.id };
    const node_until = new Date(Date.now() + NODE_MS).toISOString();
    const memo = { node: this.identity.node, node_until };
    return this.operations.begin({ kind: 'upload', instanceId, input: { ...input }, memo, ...caller }, (manager) =>
      this.checks.assertFree(ask, manager),
    );
  }

  #arrival({ raw, headers }: FastifyRequest, accept: () => void): Arrival {
    const maxBytes = this.config.http.max_upload;
    const length = headers['content-length'];
    const announced = length === undefined ? undefined : Number(length);
    if (headers['content-range'] !== undefined)
      throw new BrokerError('invalid_request', 'content-range: a part of an archive cannot be uploaded');
    if (announced !== undefined && announced > maxBytes) throw tooLarge(maxBytes);
    const sha256 =
      sha256Of('content-digest', headers['content-digest']) ?? sha256Of('repr-digest', headers['repr-digest']);
    return { body: raw, accept, maxBytes, announced, sha256 };
  }
}

/** Nobody waits any more once the connection is gone. */
function hungUp({ raw }: FastifyRequest): AbortSignal {
  const gone = new AbortController();
  raw.socket.once('close', () => gone.abort());
  return gone.signal;
}

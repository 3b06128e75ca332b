import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { DataSource, type EntityManager } from 'typeorm';
import { type Requester } from '../auth/requester.js';
import { BrokerError } from '../errors.js';
import { type OperationError } from './operation-error.js';
import {
  Operation,
  OPERATION_KINDS,
  type OperationKind,
  type OperationMemo,
  type OperationProgress,
  type OperationState,
} from './operation.entity.js';

export interface NewOperation {
  kind: OperationKind;
  instanceId: string;
  /** What the handler needs besides the instance; never a secret. */
  input?: Record<string, unknown>;
  /** What it begins with; `node` binds it from the start. */
  memo?: OperationMemo;
  requestedBy: Requester;
  requestId: string;
}

export interface OperationList {
  operations: Operation[];
  /** Goes on after this one; null at the end. */
  next: string | null;
}

/** One attempt's hold on an operation: every write of a run names it, so that a superseded run writes nothing. */
export interface Hold {
  readonly id: string;
  readonly attempt: number;
  readonly runner: string;
}

export interface Claimed {
  operation: Operation;
  formerRunner: string | null;
  /** Since the first start of any attempt, by the database's clock. */
  elapsedMs: number;
}

export interface Ending {
  state: Extract<OperationState, 'succeeded' | 'failed' | 'cancelled'>;
  result?: Record<string, unknown>;
  error?: OperationError;
  /** Keys of the memo that go with the end. */
  forget?: string[];
}

type Row = Record<string, unknown>;

const ALL_BUT_INPUT = `id, kind, instance_id, state, phase, progress, result, error, attempt, runner, cancel_requested,
  requested_by, request_id, created_at, started_at, finished_at, next_try_at, '{}'::jsonb AS memo`;
/** What a broker looks up often, and shows. The rest is for handlers, and may be large. */
const SHOWN = `${ALL_BUT_INPUT}, '{}'::jsonb AS input`;

const HELD = `id = $1 AND attempt = $2 AND runner = $3 AND state = 'running'`;
/** Part of a statement whose loss in a crash of the database harms nothing: its commit need not wait for the disk. */
const UNHURRIED = `set_config('synchronous_commit', 'off', true) IS NOT NULL`;

/** Whether the node $2 may take it: bound to none, to this one, or to be ended by anybody. */
const OPEN_TO_NODE = `(memo->>'node' IS NULL OR memo->>'node' = $2 OR cancel_requested
  OR (memo->>'node_until')::timestamptz < now())`;

/** What is bound to a node waits so long for a sign of it, in ms; a caller who waits is to hear of it. */
export const NODE_WAIT_MS = 30_000;

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** The statements on the table `operation`. */
@Injectable()
export class OperationStore {
  constructor(private readonly dataSource: DataSource) {}

  async insert(manager: EntityManager, ask: NewOperation): Promise<Operation> {
    const rows = await manager.query<Row[]>(
      `INSERT INTO operation (id, kind, instance_id, state, input, memo, requested_by, request_id)
       VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7) RETURNING *`,
      [randomUUID(), ask.kind, ask.instanceId, ask.input ?? {}, ask.memo ?? {}, ask.requestedBy, ask.requestId],
    );
    return this.entity(rows[0]);
  }

  /**
   * Takes the operations of these ids that have not ended and that this node may take: a new attempt of each, held by
   * this runner.
   */
  async claim(manager: EntityManager, ids: string[], node: string, runner: string): Promise<Claimed[]> {
    const [rows] = await manager.query<[Row[], number]>(
      `UPDATE operation SET state = 'running', attempt = operation.attempt + 1, runner = $3, next_try_at = NULL,
         started_at = coalesce(operation.started_at, now())
       FROM (SELECT id, runner FROM operation
             WHERE id = ANY($1::uuid[]) AND state IN ('queued', 'running') AND ${OPEN_TO_NODE} FOR UPDATE) AS former
       WHERE operation.id = former.id
       RETURNING operation.*, former.runner AS former_runner,
         extract(epoch FROM now() - operation.started_at)::float8 * 1000 AS elapsed_ms`,
      [ids, node, runner],
    );
    return rows.map((row) => ({
      operation: this.entity(row),
      formerRunner: row['former_runner'] === runner ? null : (row['former_runner'] as string | null),
      elapsedMs: row['elapsed_ms'] as number,
    }));
  }

  /** False: this attempt no longer holds the operation. */
  async phase(hold: Hold, name: string, progress: OperationProgress): Promise<boolean> {
    const [, count] = await this.dataSource.query<[Row[], number]>(
      `UPDATE operation SET phase = $4, progress = $5, error = NULL, next_try_at = NULL WHERE ${HELD} AND ${UNHURRIED}`,
      [hold.id, hold.attempt, hold.runner, name, progress],
    );
    return count === 1;
  }

  async progress(hold: Hold, progress: OperationProgress): Promise<void> {
    await this.dataSource.query(`UPDATE operation SET progress = $4 WHERE ${HELD} AND ${UNHURRIED}`, [
      hold.id,
      hold.attempt,
      hold.runner,
      progress,
    ]);
  }

  /** The whole memo afterwards; undefined: this attempt no longer holds the operation. */
  async remember(hold: Hold, patch: OperationMemo): Promise<OperationMemo | undefined> {
    const [rows] = await this.dataSource.query<[{ memo: OperationMemo }[], number]>(
      `UPDATE operation SET memo = memo || $4::jsonb WHERE ${HELD} RETURNING memo`,
      [hold.id, hold.attempt, hold.runner, patch],
    );
    return rows[0]?.memo;
  }

  /** As `remember`, and no cancel is accepted from then on. Undefined also where one was accepted before. */
  async decide(hold: Hold, patch: OperationMemo): Promise<OperationMemo | undefined> {
    const [rows] = await this.dataSource.query<[{ memo: OperationMemo }[], number]>(
      `UPDATE operation SET memo = memo || $4::jsonb WHERE ${HELD} AND NOT cancel_requested RETURNING memo`,
      [hold.id, hold.attempt, hold.runner, { ...patch, decided: true }],
    );
    return rows[0]?.memo;
  }

  /** False: this attempt no longer holds the operation. */
  async waiting(hold: Hold, error: OperationError, nextTryAt: Date): Promise<boolean> {
    const [, count] = await this.dataSource.query<[Row[], number]>(
      `UPDATE operation SET error = $4, next_try_at = $5 WHERE ${HELD}`,
      [hold.id, hold.attempt, hold.runner, error, nextTryAt],
    );
    return count === 1;
  }

  /** Undefined: this attempt no longer holds the operation, or it is to succeed though a cancel was accepted. */
  async end(manager: EntityManager, hold: Hold, ending: Ending): Promise<Operation | undefined> {
    const { state, result, error, forget = [] } = ending;
    const [rows] = await manager.query<[Row[], number]>(
      `UPDATE operation SET state = $4, result = $5, error = $6, finished_at = now(), next_try_at = NULL,
         memo = memo - $7::text[]
       WHERE ${HELD} AND ($4 <> 'succeeded' OR NOT cancel_requested) RETURNING *`,
      [hold.id, hold.attempt, hold.runner, state, result ?? null, error ?? null, forget],
    );
    return rows[0] === undefined ? undefined : this.entity(rows[0]);
  }

  async requeue(manager: EntityManager, hold: Hold): Promise<boolean> {
    const [, count] = await manager.query<[Row[], number]>(
      `UPDATE operation SET state = 'queued', runner = NULL WHERE ${HELD}`,
      [hold.id, hold.attempt, hold.runner],
    );
    return count === 1;
  }

  /** Of these kinds: queued, and to be cancelled; all brokers see them in the same order. */
  toCancel(kinds: OperationKind[]): Promise<Operation[]> {
    const where = `WHERE state = 'queued' AND cancel_requested AND kind = ANY($1::text[])`;
    return this.select(`${where} ORDER BY id LIMIT 100`, [kinds]);
  }

  /** Undefined: unknown, decided, or ended. */
  async requestCancel(id: string): Promise<Operation | undefined> {
    if (!UUID.test(id)) return undefined;
    const [rows] = await this.dataSource.query<[Row[], number]>(
      `UPDATE operation SET cancel_requested = true
       WHERE id = $1 AND state IN ('queued', 'running') AND memo->>'decided' IS NULL RETURNING *`,
      [id],
    );
    return rows[0] === undefined ? undefined : this.entity(rows[0]);
  }

  /** @throws {BrokerError} `unknown_operation` */
  async find(id: string): Promise<Operation> {
    const [found] = UUID.test(id) ? await this.findAll([id]) : [];
    if (found === undefined) throw unknownOperation();
    return found;
  }

  /** Without what their handlers were given and have remembered, as most that follow. */
  findAll(ids: string[]): Promise<Operation[]> {
    return this.select('WHERE id = ANY($1::uuid[])', [ids]);
  }

  async active(instanceId: string): Promise<Operation | null> {
    const where = `WHERE instance_id = $1 AND state IN ('queued', 'running')`;
    return (await this.select(where, [instanceId], `${ALL_BUT_INPUT}, input`))[0] ?? null;
  }

  async latest(instanceId: string, kinds: readonly OperationKind[] = OPERATION_KINDS): Promise<Operation | null> {
    const newest = `WHERE instance_id = $1 AND kind = ANY($2::text[]) ORDER BY created_at DESC, id DESC LIMIT 1`;
    return (await this.select(newest, [instanceId, kinds], `${ALL_BUT_INPUT}, input`))[0] ?? null;
  }

  /** @throws {BrokerError} `invalid_request` where `after` is no operation, or none of the instance */
  async list(ask: { instanceId?: string; limit: number; after?: string }): Promise<OperationList> {
    const after = ask.after === undefined ? null : await this.cursor(ask.after, ask.instanceId);
    const found = await this.select(
      `WHERE ($1::text IS NULL OR instance_id = $1)
         AND ($2::uuid IS NULL OR (created_at, id) < (SELECT created_at, id FROM operation WHERE id = $2))
       ORDER BY created_at DESC, id DESC LIMIT $3`,
      [ask.instanceId ?? null, after, ask.limit + 1],
    );
    const operations = found.slice(0, ask.limit);
    return { operations, next: found.length > ask.limit ? (operations.at(-1)?.id ?? null) : null };
  }

  /**
   * Of these kinds: queued, and this node's to take, or anybody's as their own node does not come. As long as a node
   * lives, what is bound to it waits for it.
   */
  async waitingForNode(node: string, kinds: OperationKind[]): Promise<Pick<Operation, 'id' | 'kind'>[]> {
    await this.dataSource.query(
      `UPDATE operation SET memo = memo || jsonb_build_object('node_until', now() + $3 * interval '1 ms')
       WHERE state = 'queued' AND memo->>'node' = $1 AND kind = ANY($2::text[])
         AND (memo->>'node_until')::timestamptz < now() + $3 * interval '0.5 ms'`,
      [node, kinds, NODE_WAIT_MS],
    );
    return this.dataSource.query(
      `SELECT id, kind FROM operation WHERE state = 'queued' AND kind = ANY($2::text[])
         AND (memo->>'node' = $1 OR (memo->>'node_until')::timestamptz < now()) ORDER BY id LIMIT 100`,
      [node, kinds],
    );
  }

  /**
   * Queued or running for a minute or more, and open to this node: what has to have a job. What is bound to this node
   * may have lost its job earlier: another node threw it away.
   */
  stale(node: string): Promise<Operation[]> {
    return this.select(
      `WHERE state IN ('queued', 'running') AND ${OPEN_TO_NODE.replaceAll('$2', '$1')}
         AND (created_at < now() - interval '1 minute' OR memo->>'node' IS NOT NULL) ORDER BY id LIMIT 1000`,
      [node],
    );
  }

  /** Queued or running, oldest first. */
  unended(): Promise<Operation[]> {
    return this.select(`WHERE state IN ('queued', 'running') ORDER BY created_at, id`, [], '*');
  }

  /** Running by another process of this node: a former one, since a data folder has one broker at a time. */
  leftBehind(node: string, runner: string): Promise<Operation[]> {
    return this.select(`WHERE state = 'running' AND starts_with(runner, $1) AND runner <> $2`, [`${node}/`, runner]);
  }

  /** Deletes operations that ended more than 30 days ago. */
  async sweep(): Promise<void> {
    for (let count = 1; count > 0;)
      [, count] = await this.dataSource.query<[Row[], number]>(
        `DELETE FROM operation WHERE id IN
           (SELECT id FROM operation WHERE finished_at < now() - interval '30 days'
              AND memo->>'left' IS DISTINCT FROM 'true' LIMIT 1000)`,
      );
  }

  private async cursor(after: string, instanceId: string | undefined): Promise<string> {
    const wanted = { id: after, ...(instanceId !== undefined && { instanceId }) };
    const known = UUID.test(after) && (await this.dataSource.manager.existsBy(Operation, wanted));
    if (!known) throw new BrokerError('invalid_request', 'after: expected the id of an operation');
    return after;
  }

  private async select(where: string, values: unknown[], columns = SHOWN): Promise<Operation[]> {
    const rows = await this.dataSource.query<Row[]>(`SELECT ${columns} FROM operation ${where}`, values);
    return rows.map((row) => this.entity(row));
  }

  private entity(row: Row | undefined): Operation {
    const { columns } = this.dataSource.getMetadata(Operation);
    const values = columns.map(({ propertyName, databaseName }) => [propertyName, row?.[databaseName]] as const);
    return Object.assign(new Operation(), Object.fromEntries<unknown>(values));
  }
}

export function unknownOperation(): BrokerError {
  return new BrokerError('unknown_operation', 'there is no such operation');
}

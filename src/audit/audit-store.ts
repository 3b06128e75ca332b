import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { BrokerError } from '../errors.js';
import { type AskedChange, type AuditRecord, type Outcome } from './audit-record.js';

type Row = Record<string, unknown>;

/**
 * Commits need not wait for the disk: what a request begins is committed after its record and waits for both, since
 * the log of the database is written in order.
 */
const UNHURRIED = `set_config('synchronous_commit', 'off', true) IS NOT NULL`;
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** The statements on the table `audit_record`. */
@Injectable()
export class AuditStore {
  constructor(private readonly dataSource: DataSource) {}

  /** Enters what is asked for; resolves to the record's id. */
  async enter(asked: AskedChange): Promise<string> {
    const id = randomUUID();
    await this.dataSource.query(
      `INSERT INTO audit_record (id, change, instance_id, target, requested_by, address, request_id)
       SELECT $1::uuid, $2::text, $3::text, $4::jsonb, $5::jsonb, $6::text, $7::text WHERE ${UNHURRIED}`,
      [id, asked.change, asked.instanceId, asked.target, asked.requestedBy, asked.address, asked.requestId],
    );
    return id;
  }

  async complete(id: string, { status, code, operationId, instanceId }: Outcome): Promise<void> {
    await this.dataSource.query(
      `UPDATE audit_record SET status = $2, code = $3, operation_id = coalesce($4::uuid, operation_id),
         instance_id = coalesce($5::text, instance_id), answered_at = now()
       WHERE id = $1 AND ${UNHURRIED}`,
      [id, status, code, operationId, instanceId],
    );
  }

  /**
   * Newest first. Those of an instance include restores of its backups into others.
   * @throws BrokerError `invalid_request` where `after` is no record
   */
  async list(ask: {
    instanceId?: string | undefined;
    limit: number;
    after?: string | undefined;
  }): Promise<{ records: AuditRecord[]; next: string | null }> {
    const after = ask.after === undefined ? null : await this.#known(ask.after);
    const rows = await this.dataSource.query<Row[]>(
      `SELECT * FROM audit_record
       WHERE ($1::text IS NULL OR instance_id = $1 OR target->>'from' = $1)
         AND ($2::uuid IS NULL OR (asked_at, id) < (SELECT asked_at, id FROM audit_record WHERE id = $2))
       ORDER BY asked_at DESC, id DESC LIMIT $3`,
      [ask.instanceId ?? null, after, ask.limit + 1],
    );
    const records = rows.slice(0, ask.limit).map(recordOf);
    return { records, next: rows.length > ask.limit ? (records.at(-1)?.id ?? null) : null };
  }

  /** Deletes what is older. */
  async sweep(keepMs: number): Promise<void> {
    for (let count = 1; count > 0;)
      [, count] = await this.dataSource.query<[Row[], number]>(
        `DELETE FROM audit_record WHERE id IN
           (SELECT id FROM audit_record WHERE asked_at < now() - $1 * interval '1 ms' LIMIT 1000)`,
        [keepMs],
      );
  }

  async #known(after: string): Promise<string> {
    const rows = UUID.test(after)
      ? await this.dataSource.query<Row[]>('SELECT id FROM audit_record WHERE id = $1', [after])
      : [];
    if (rows.length === 0) throw new BrokerError('invalid_request', 'after: expected the id of a record');
    return after;
  }
}

function recordOf(row: Row): AuditRecord {
  return {
    id: row['id'],
    askedAt: row['asked_at'],
    change: row['change'],
    instanceId: row['instance_id'],
    target: row['target'],
    requestedBy: row['requested_by'],
    address: row['address'],
    requestId: row['request_id'],
    answeredAt: row['answered_at'],
    status: row['status'],
    code: row['code'],
    operationId: row['operation_id'],
  } as AuditRecord;
}

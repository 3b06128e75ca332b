import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { Operation, type OperationMemo } from './operation.entity.js';

/** How long a claim lasts, in ms: whoever removes something by it must have given up before. */
export const LEFT_CLAIM_MS = 60_000;

/** Most that are given at once. */
const AT_ONCE = 100;

/** Operations that have ended with something still to be removed. Of several brokers one at a time is at each. */
@Injectable()
export class LeftOperations {
  constructor(private readonly dataSource: DataSource) {}

  /** With the end of the operation. */
  async note({ id }: Operation, manager: EntityManager): Promise<void> {
    await manager.query(`UPDATE operation SET memo = memo || '{"left": true}' WHERE id = $1`, [id]);
  }

  /** Those that nobody is at, the one first that has waited longest since it was tried. */
  due(): Promise<Operation[]> {
    return this.dataSource.manager
      .createQueryBuilder(Operation, 'operation')
      .where(`operation.memo->>'left' = 'true' AND operation.state NOT IN ('queued', 'running')`)
      .andWhere(`coalesce((operation.memo->>'left_until')::timestamptz < now(), true)`)
      .orderBy(`(operation.memo->>'left_until')::timestamptz`, 'ASC', 'NULLS FIRST')
      .addOrderBy('operation.finishedAt')
      .limit(AT_ONCE)
      .getMany();
  }

  /**
   * To be had right before anything is removed: what was read may have been removed by another broker since, and its
   * name be that of a new backup. Undefined: there is nothing to do any more, or another one is at it.
   */
  async claim(operation: Operation): Promise<Operation | undefined> {
    const [rows] = await this.dataSource.query<[{ memo: OperationMemo }[], number]>(
      `UPDATE operation SET memo = memo || jsonb_build_object('left_until', clock_timestamp() + $2 * interval '1 ms')
       WHERE id = $1 AND memo->>'left' = 'true' AND coalesce((memo->>'left_until')::timestamptz < now(), true)
       RETURNING memo`,
      [operation.id, LEFT_CLAIM_MS],
    );
    return rows[0] === undefined ? undefined : Object.assign(new Operation(), operation, rows[0]);
  }

  /** All is gone: unless the claim was lost meanwhile, as somebody else may be removing by now. */
  cleared(claimed: Operation): Promise<void> {
    return this.#end(claimed, `memo - 'left_until' || '{"left": false}'`);
  }

  /** Something is still there, for whoever tries next. */
  givenUp(claimed: Operation): Promise<void> {
    return this.#end(claimed, `memo || jsonb_build_object('left_until', now())`);
  }

  async #end({ id, memo }: Operation, now: string): Promise<void> {
    await this.dataSource.query(`UPDATE operation SET memo = ${now} WHERE id = $1 AND memo->>'left_until' = $2`, [
      id,
      memo.left_until,
    ]);
  }
}

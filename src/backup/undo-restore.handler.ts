import { Injectable } from '@nestjs/common';
import { InstanceStore } from '../instances/instance-store.js';
import { type OperationContext, type OperationHandler, type Outcome } from '../operations/operation-handler.js';
import { Restores } from '../postgres/restores.js';
import { RestorePoints } from './restore-points.js';
import { type SwapReport } from './restore-memo.js';
import { ShadowFilling } from './shadow-filling.js';
import { Swapping } from './swapping.js';

/** The swap backwards: the restore point is put in place, and what it replaces is the restore point from then on. */
@Injectable()
export class UndoRestoreHandler implements OperationHandler {
  readonly kind = 'undo_restore';

  constructor(
    private readonly instances: InstanceStore,
    private readonly points: RestorePoints,
    private readonly restores: Restores,
    private readonly filling: ShadowFilling,
    private readonly swapping: Swapping,
  ) {}

  async run(context: OperationContext): Promise<Outcome> {
    const { instanceId } = context.operation;
    const instance = await this.instances.get(instanceId);
    const swapped = await this.swapping.resume(context, instance);
    if (swapped !== undefined) return swapped;
    const point = await this.points.get(instanceId);
    await this.filling.extend(instance, point.database, context.signal);
    const databases = { incoming: point.database, outgoing: this.restores.drawRestorePoint() };
    const report: SwapReport = { rows: null, tables: null, left_out: [] };
    return this.swapping.swap(context, instance, databases, report);
  }

  /** Where the swap has happened in spite of all, the undo has succeeded. */
  async undo(context: OperationContext): Promise<Outcome> {
    const instance = await this.instances.find(context.operation.instanceId);
    const swapped = instance === null ? undefined : await this.swapping.resume(context, instance);
    return swapped === undefined ? {} : { ...swapped, happened: true };
  }
}

import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { BindingStore } from '../instances/binding-store.js';

const LOOK_MS = 100;

/** Waits for those who make or remove bindings of an instance. */
@Injectable()
export class BindingHolds {
  constructor(private readonly bindings: BindingStore) {}

  /**
   * Resolves when nobody holds a binding of the instance. New ones cannot begin, since it is not ready; a dead
   * broker's hold runs out.
   */
  async quiet(instanceId: string, signal: AbortSignal): Promise<void> {
    while ((await this.bindings.held(instanceId)) > 0) await pause(LOOK_MS, undefined, { signal });
  }
}

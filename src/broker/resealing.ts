import { Injectable, Logger } from '@nestjs/common';
import { BindingStore } from '../instances/binding-store.js';
import { Sealing } from './sealing.js';

/** Seals with the current key what former ones have sealed, so that these can be taken away. */
@Injectable()
export class Resealing {
  readonly #logger = new Logger('Resealing');

  constructor(
    private readonly bindings: BindingStore,
    private readonly sealing: Sealing,
  ) {}

  /** What cannot be opened is logged and left as it is. */
  async all(stopped: AbortSignal): Promise<void> {
    const keys = this.sealing.former;
    if (keys.length === 0) return;
    let after = { instanceId: '', id: '' };
    let done = 0;
    for (;;) {
      const some = await this.bindings.sealedBy(keys, after);
      for (const each of some) {
        stopped.throwIfAborted();
        const { instanceId, id, sealedPassword } = each;
        try {
          const text = this.sealing.open(sealedPassword, instanceId, id);
          await this.bindings.reseal(each, this.sealing.seal(text, instanceId, id));
          done += 1;
        } catch (error) {
          this.#logger.error(`binding ${id} of ${instanceId} is not sealed anew: ${String(error)}`);
        }
        after = each;
      }
      if (some.length === 0) break;
    }
    if (done > 0) this.#logger.log(`sealed anew with the key ${this.sealing.current}: ${done} bindings`);
  }
}

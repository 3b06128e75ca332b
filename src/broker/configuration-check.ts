import { Injectable, Logger } from '@nestjs/common';
import { BindingStore } from '../instances/binding-store.js';
import { InstanceStore } from '../instances/instance-store.js';
import { PostgresServers } from '../postgres/postgres-servers.js';
import { Sealing } from './sealing.js';

/** Tells the operator at the start what stands in the state database and cannot be served as it is configured now. */
@Injectable()
export class ConfigurationCheck {
  readonly #logger = new Logger('Configuration');

  constructor(
    private readonly instances: InstanceStore,
    private readonly bindings: BindingStore,
    private readonly servers: PostgresServers,
    private readonly sealing: Sealing,
  ) {}

  /** Never rejects. */
  async report(): Promise<void> {
    try {
      const bindings = await this.bindings.countByKey();
      for (const id of this.sealing.missing(bindings.keys()))
        this.#logger.error(
          `state.encryption_keys: the key ${id} is missing; bindings that cannot be read without it: ${bindings.get(id)}`,
        );
      for (const [server, count] of await this.instances.countByServer())
        if (!this.servers.names.includes(server))
          this.#logger.error(`servers: ${server} is missing; instances that are not served without it: ${count}`);
    } catch (error) {
      this.#logger.warn(`the configuration could not be compared with the state database: ${String(error)}`);
    }
  }
}

import { type BindingStore } from '../instances/binding-store.js';
import { type InstanceStore } from '../instances/instance-store.js';
import { type ServiceInstance } from '../instances/service-instance.entity.js';
import { type PostgresServers } from '../postgres/postgres-servers.js';
import { BindService } from './bind.service.js';
import { type BindingDraft } from './binding-draft.js';
import { type BindingWork } from './binding-work.js';
import { type ServiceCatalog } from './catalog.js';

const before = { id: 'i', serviceId: 's', planId: 'p', state: 'ready', limits: { connections: 10 } } as ServiceInstance;
const after = { ...before, limits: { connections: 40 } };

it('a binding gets the limits that hold once its instance can no longer be updated', async () => {
  const made: unknown[] = [];
  const bindings = { begin: () => Promise.resolve(after) };
  const work = {
    make: (instance: ServiceInstance) => Promise.resolve(made.push(instance.limits)),
  };
  const service = new BindService(
    { assertOf: () => undefined } as unknown as ServiceCatalog,
    { find: () => Promise.resolve(before) } as unknown as InstanceStore,
    bindings as unknown as BindingStore,
    { draw: () => Promise.resolve({}) } as unknown as BindingDraft,
    work as unknown as BindingWork,
    { assertConfigured: () => undefined } as unknown as PostgresServers,
  );
  await service.bind('i', 'b', { service_id: 's', plan_id: 'p' });
  expect(made).toEqual([after.limits]);
});

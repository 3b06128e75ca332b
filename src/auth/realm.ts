import { addRouteSettings } from './route-settings.js';

/** Who may call a route: the platform (Open Service Broker API), the admins, or anybody. */
export type RealmName = 'platform' | 'admin' | 'public';

const marked = new WeakSet<object>();

/**
 * Opens a handler, or all handlers of a controller, to the callers of one realm; a handler's own goes before its
 * controller's. A route without it is closed to everybody.
 */
export function Realm(realm: RealmName): ClassDecorator & MethodDecorator {
  return (target: object, key?: string | symbol, descriptor?: PropertyDescriptor) => {
    if (key !== undefined && descriptor !== undefined) return mark(target, key, descriptor, realm);
    const prototype = (target as { prototype: object }).prototype;
    for (const [name, each] of Object.entries<PropertyDescriptor>(Object.getOwnPropertyDescriptors(prototype)))
      if (name !== 'constructor' && typeof each.value === 'function' && !marked.has(each.value as object))
        mark(prototype, name, each, realm);
  };
}

function mark(target: object, key: string | symbol, descriptor: PropertyDescriptor, realm: RealmName): void {
  marked.add(descriptor.value as object);
  addRouteSettings({ realm }, target, key, descriptor);
}

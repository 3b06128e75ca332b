import { AsyncLocalStorage } from 'node:async_hooks';
import { addRouteSettings } from '../auth/route-settings.js';

/** What can be asked for that changes something, or takes data out. */
export const CHANGES = [
  'provision',
  'update',
  'deprovision',
  'bind',
  'unbind',
  'backup',
  'delete_backup',
  'download',
  'upload',
  'restore',
  'undo_restore',
  'cancel',
  'rescan',
] as const;
export type ChangeName = (typeof CHANGES)[number];

/** What becomes known of a change while a request is answered. */
export interface ChangeFacts {
  /** That the request has begun. */
  operationId?: string;
  /** Where the request itself does not name it. */
  instanceId?: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    changeFacts: ChangeFacts;
  }
  interface FastifyContextConfig {
    /** Set from `@Change`. */
    change?: ChangeName;
  }
}

/** Of the request within which the code runs; what it begins to run elsewhere may still see it. */
export const changeFacts = new AsyncLocalStorage<ChangeFacts>();

/** Requests of this route leave an audit record. */
export function Change(change: ChangeName): MethodDecorator {
  return (target, key, descriptor) => addRouteSettings({ change }, target, key, descriptor);
}

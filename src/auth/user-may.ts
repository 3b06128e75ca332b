import { type Right } from './rights.js';
import { addRouteSettings } from './route-settings.js';

/** Where in a request the id of a service instance stands; of those in the query only `from` may be absent. */
export type InstanceSource = 'path.instance_id' | 'query.instance_id' | 'query.from';

/** What a Cloud Foundry user needs for a route of realm admin. */
export interface UserMay {
  right: Right;
  /**
   * On each of these the user needs the right, before anything of the request's body is asked for. Empty: the handler
   * asks `request.rights` itself, or any user will do.
   */
  on: InstanceSource[];
}

/** Opens a route of realm admin to Cloud Foundry users with the right on each of the instances. */
export function UserMay(right: Right, ...on: InstanceSource[]): MethodDecorator {
  return (target, key, descriptor) => addRouteSettings({ userMay: { right, on } }, target, key, descriptor);
}

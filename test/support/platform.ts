import { type Answer, type Call, HttpClient, type Json } from './client.js';
import { until } from './until.js';

/** The built-in catalog's ids, which platforms remember. */
export const SERVICE = '6b2f1f0e-5d3c-4c55-9a53-4f6f0c1a7e01';
export const SMALL = '0c5e7c56-2b0d-4b8e-8d4b-0b8b3f5f6a11';
export const MEDIUM = '5a4d8f3e-7e0f-4d5c-9a8e-3a6f1f6b2c22';

export const ids = { service_id: SERVICE, plan_id: SMALL };

/** Where a platform without contexts puts an instance. */
export const place = { organization_guid: 'org-1', space_guid: 'space-1' };

export const instancePath = (instance: string) => `/v2/service_instances/${encodeURIComponent(instance)}`;
export const bindingPath = (instance: string, binding: string) =>
  `${instancePath(instance)}/service_bindings/${encodeURIComponent(binding)}`;

type Query = NonNullable<Call['query']>;

/** The query of a platform that polls. */
export const later: Query = { accepts_incomplete: true };

/** What a platform sends: the small plan of the built-in service unless told otherwise. */
export class Platform extends HttpClient {
  catalog(call?: Call): Promise<Answer> {
    return this.get('/v2/catalog', call);
  }

  provision(instance: string, body: Json = {}, query: Query = {}): Promise<Answer> {
    return this.send('PUT', instancePath(instance), { query, body: { ...ids, ...place, ...body } });
  }

  update(instance: string, body: Json = {}, query: Query = {}): Promise<Answer> {
    return this.send('PATCH', instancePath(instance), { query, body: { service_id: SERVICE, ...body } });
  }

  deprovision(instance: string, query: Query = {}): Promise<Answer> {
    return this.delete(instancePath(instance), { query: { ...ids, ...query } });
  }

  instance(instance: string): Promise<Answer> {
    return this.get(instancePath(instance));
  }

  lastOperation(instance: string, query: Query = {}): Promise<Answer> {
    return this.get(`${instancePath(instance)}/last_operation`, { query });
  }

  bind(instance: string, binding: string, body: Json = {}, query: Query = {}): Promise<Answer> {
    return this.send('PUT', bindingPath(instance, binding), { query, body: { ...ids, ...body } });
  }

  unbind(instance: string, binding: string, query: Query = {}): Promise<Answer> {
    return this.delete(bindingPath(instance, binding), { query: { ...ids, ...query } });
  }

  binding(instance: string, binding: string): Promise<Answer> {
    return this.get(bindingPath(instance, binding));
  }

  lastBindingOperation(instance: string, binding: string, query: Query = {}): Promise<Answer> {
    return this.get(`${bindingPath(instance, binding)}/last_operation`, { query });
  }

  /** Polls last_operation of the instance until it says how the work ended. */
  ended(instance: string, query: Query = {}): Promise<Answer> {
    return until(`the end of the operation on ${instance}`, async () => {
      const answer = await this.lastOperation(instance, query);
      return answer.status === 200 && answer.body['state'] === 'in progress' ? undefined : answer;
    });
  }
}

export interface Credentials {
  uri: string;
  jdbcUrl: string;
  hostname: string;
  host: string;
  port: number;
  name: string;
  database: string;
  dbname: string;
  username: string;
  password: string;
  sslmode: string;
  sslrootcert?: string;
}

export function credentialsOf(answer: Answer): Credentials {
  const credentials = answer.body['credentials'];
  if (typeof credentials !== 'object' || credentials === null)
    throw new Error(`no credentials in the answer: ${answer.status} ${answer.text}`);
  return credentials as Credentials;
}

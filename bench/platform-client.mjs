import { Agent, request } from 'node:http';

const SERVICE = '6b2f1f0e-5d3c-4c55-9a53-4f6f0c1a7e01';
const PLAN = '0c5e7c56-2b0d-4b8e-8d4b-0b8b3f5f6a11';
const BODY = bodyOf(PLAN);

/** For as many connections and bytes as a measurement may need. */
export const LARGE_PLAN = '9e1b6a72-3c4f-4f1e-8f6d-7d2c5e8a4d33';

/** The calls of a platform, over connections that are kept. */
export class PlatformClient {
  #agent = new Agent({ keepAlive: true });
  #authorization;

  /** @param {import('./bench-broker.mjs').BenchBroker} broker */
  constructor(broker) {
    this.url = broker.url;
    this.#authorization = `Basic ${Buffer.from(`${broker.platform.username}:${broker.platform.password}`).toString('base64')}`;
  }

  /** @param {string} instance */
  async provision(instance, plan = PLAN) {
    await this.#expect(201, 'PUT', `/v2/service_instances/${instance}`, plan === PLAN ? BODY : bodyOf(plan));
  }

  /** @param {string} instance @param {string} binding */
  async bind(instance, binding) {
    await this.#bind(instance, binding, BODY);
  }

  /** Of a new binding. @param {string} instance @param {string} binding @param {string} plan of the instance */
  async credentials(instance, binding, plan) {
    const text = await this.#bind(instance, binding, bodyOf(plan));
    const answer = /** @type {unknown} */ (JSON.parse(text));
    return /** @type {{ credentials: { uri: string, database: string } }} */ (answer).credentials;
  }

  /** @param {string} instance @param {string} binding */
  async unbind(instance, binding) {
    const query = `service_id=${SERVICE}&plan_id=${PLAN}`;
    await this.#expect(200, 'DELETE', `/v2/service_instances/${instance}/service_bindings/${binding}?${query}`);
  }

  /** @param {string} instance */
  async deprovision(instance) {
    await this.#expect(200, 'DELETE', `/v2/service_instances/${instance}?service_id=${SERVICE}&plan_id=${PLAN}`);
  }

  close() {
    this.#agent.destroy();
  }

  /** @param {string} instance @param {string} binding @param {string} body */
  #bind(instance, binding, body) {
    return this.#expect(201, 'PUT', `/v2/service_instances/${instance}/service_bindings/${binding}`, body);
  }

  /** @param {number} expected @param {string} method @param {string} path @param {string} [body] @returns {Promise<string>} */
  #expect(expected, method, path, body) {
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: this.#authorization,
        'x-broker-api-version': '2.17',
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      };
      const call = request(this.url + path, { method, headers, agent: this.#agent }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (/** @type {string} */ chunk) => (text += chunk));
        answer.on('end', () =>
          answer.statusCode === expected
            ? resolve(text)
            : reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`)),
        );
      });
      call.on('error', reject);
      call.end(body);
    });
  }
}

/** @param {string} plan */
function bodyOf(plan) {
  return JSON.stringify({ service_id: SERVICE, plan_id: plan, organization_guid: 'o', space_guid: 's' });
}

import { Ajv } from 'ajv';
import { type RunningBroker } from './broker.js';
import { type Answer, type Json } from './client.js';

/** The broker's own description of its API, as a judge of its answers. */
export interface Described {
  /** The answer's status, body and headers are as the description says; nothing more, nothing less. */
  expect(method: string, path: string, answer: Answer): void;
}

export async function described(broker: RunningBroker): Promise<Described> {
  const { body } = await broker.admin.get('/openapi.json');
  const document = closed(body) as Json;
  const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(document, 'api');
  return {
    expect(method, path, answer) {
      const operation = at(document, 'paths', path, method.toLowerCase());
      if (operation === undefined) throw new Error(`${method} ${path} is not described`);
      const response = at(operation, 'responses', String(answer.status));
      if (response === undefined) throw new Error(`${method} ${path}: status ${answer.status} is not described`);
      for (const header of Object.keys(at(response, 'headers') ?? {}))
        expect({ [header]: answer.headers[header.toLowerCase()] }).toEqual({ [header]: expect.any(String) as string });
      if (method === 'HEAD' || answer.status === 304) return;
      const type = String(answer.headers['content-type']).replace(/;.*/, '');
      const schema = at(response, 'content', type, 'schema');
      if (schema === undefined) throw new Error(`${method} ${path} ${answer.status}: ${type} is not described`);
      if (!/json$/.test(type)) return;
      const pointer = [
        'paths',
        path,
        method.toLowerCase(),
        'responses',
        String(answer.status),
        'content',
        type,
        'schema',
      ];
      const ref = `api#/${pointer.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`;
      const validate = ajv.getSchema(ref);
      if (validate === undefined) throw new Error(`no schema at ${ref}`);
      const fits = validate(answer.body);
      expect({ errors: fits === true ? [] : validate.errors, body: answer.body }).toEqual({
        errors: [],
        body: answer.body,
      });
    },
  };
}

function at(tree: unknown, ...keys: string[]): Json | undefined {
  return keys.reduce<unknown>((node, key) => (node as Json | undefined)?.[key], tree) as Json | undefined;
}

/** What a schema does not name must not be in an answer. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).map(([key, value]) => [key, closed(value)] as const);
  const isOpen = 'properties' in node && !('additionalProperties' in node);
  return { ...Object.fromEntries(entries), ...(isOpen && { additionalProperties: false }) };
}

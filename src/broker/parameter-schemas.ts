import { type ErrorObject, type ValidateFunction } from 'ajv';
import { type CatalogPlan } from '../config/catalog.js';
import { compileSchema } from '../config/plan-schema.js';
import { BrokerError } from '../errors.js';

export type JsonSchema = Record<string, unknown>;

export interface PlanSchemas {
  service_instance: { create: { parameters: JsonSchema }; update: { parameters: JsonSchema } };
  service_binding: { create: { parameters: JsonSchema } };
}

const DRAFT_04 = { $schema: 'http://json-schema.org/draft-04/schema#', type: 'object' };

/** The extensions that instances of a plan may ask for. */
export function allowedExtensions(plan: CatalogPlan): string[] {
  return plan.limits.extensions;
}

/** The parameter schemas of a plan as the catalog shows them: its own, else those of what the broker understands. */
export function planSchemas(plan: CatalogPlan): PlanSchemas {
  const own = plan.schemas;
  const { extensions, locale } = instanceProperties(plan);
  return {
    service_instance: {
      create: own?.service_instance?.create ?? schemaOf({ extensions, locale }),
      update: own?.service_instance?.update ?? schemaOf({ extensions }),
    },
    service_binding: { create: own?.service_binding?.create ?? BINDING },
  };
}

/** Checks parameters against a schema; compiled once. */
export class ParameterCheck {
  readonly #validators: ValidateFunction[];

  /** `schemas`: all of them must hold. */
  constructor(...schemas: JsonSchema[]) {
    this.#validators = schemas.map(compileSchema);
  }

  /** @throws BrokerError `invalid_request` naming each field and what is allowed */
  assert(parameters: Record<string, unknown>): void {
    for (const validate of this.#validators)
      if (!validate(parameters)) {
        const faults = (validate.errors ?? [])
          .slice(0, 10)
          .map((error) => faultOf(error, validate.schema as JsonSchema));
        throw new BrokerError('invalid_request', [...new Set(faults)].join('; '));
      }
  }
}

/** What the broker itself demands of parameters, also where a plan's own schema says less. */
export function instanceParametersCheck(plan: CatalogPlan, schema: JsonSchema): ParameterCheck {
  const { extensions, locale } = instanceProperties(plan);
  return new ParameterCheck(schema, { ...DRAFT_04, properties: { extensions, locale } });
}

/** What the broker itself demands of a binding's parameters, also where a plan's own schema says less. */
export function bindingParametersCheck(schema: JsonSchema): ParameterCheck {
  return new ParameterCheck(schema, { ...DRAFT_04, properties: ACCESS });
}

const ACCESS = {
  access: {
    type: 'string',
    enum: ['read-write', 'read-only'],
    default: 'read-write',
    description: 'What the credentials may do: everything in the database, or read every table of it',
  },
};

const BINDING = schemaOf(ACCESS);

/** For bindings whose plan left the catalog. */
export const defaultBindingCheck = bindingParametersCheck(BINDING.parameters);

function schemaOf(properties: JsonSchema): { parameters: JsonSchema } {
  return { parameters: { ...DRAFT_04, additionalProperties: false, properties } };
}

function instanceProperties(plan: CatalogPlan) {
  const allowed = allowedExtensions(plan);
  return {
    extensions: {
      type: 'array',
      uniqueItems: true,
      // Draft-04 wants an enum to have a member: a plan without extensions allows the empty list only.
      ...(allowed.length > 0 ? { items: { type: 'string', enum: allowed } } : { maxItems: 0 }),
      description:
        'Extensions to have in the database; in an update the whole new list; what the application created itself stays',
    },
    locale: {
      type: 'string',
      pattern: '^(C\\.UTF-8|[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,8})$',
      description: 'C.UTF-8 (default) or an ICU locale such as de-DE; cannot be changed afterwards',
    },
  };
}

function faultOf(error: ErrorObject, schema: JsonSchema): string {
  const at = `parameters${error.instancePath.replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')}`;
  switch (error.keyword) {
    case 'additionalProperties':
      return `${at}.${String(error.params['additionalProperty'])}: not known, expected ${known(schema) ?? 'no such field'}`;
    case 'required':
      return `${at}.${String(error.params['missingProperty'])}: missing`;
    case 'enum':
      return `${at}: expected one of ${(error.params['allowedValues'] as unknown[]).map(String).join(', ')}`;
    case 'type':
      return `${at}: expected ${String(error.params['type'])}`;
    case 'pattern':
      return `${at}: expected ${expectedBy(error)}`;
    default:
      return `${at}: ${error.message ?? 'not allowed'}`;
  }
}

/** What the field's description allows goes before its pattern, which few can read. */
function expectedBy({ parentSchema, params }: ErrorObject): string {
  const said: unknown = parentSchema?.['description'];
  return typeof said === 'string' ? said : `a text that matches ${String(params['pattern'])}`;
}

function known(schema: JsonSchema): string | undefined {
  const names = Object.keys((schema['properties'] as JsonSchema | undefined) ?? {});
  return names.length > 0 ? `only ${names.join(', ')}` : undefined;
}

import { type CatalogPlan } from '../config/catalog.js';
import { planSchemaFault } from '../config/plan-schema.js';
import { bindingParametersCheck, instanceParametersCheck, planSchemas } from './parameter-schemas.js';

const plan = (more: object = {}) =>
  ({ limits: { extensions: ['citext', 'hstore'] }, ...more }) as unknown as CatalogPlan;
const draft = { $schema: 'http://json-schema.org/draft-04/schema#', type: 'object' };

function faultOf(check: { assert(parameters: Record<string, unknown>): void }, parameters: Record<string, unknown>) {
  try {
    check.assert(parameters);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe("a plan's parameters", () => {
  const create = instanceParametersCheck(plan(), planSchemas(plan()).service_instance.create.parameters);

  it.each([{}, { extensions: [] }, { extensions: ['citext'] }, { locale: 'C.UTF-8' }, { locale: 'de-DE' }])(
    'may be %j',
    (parameters) => {
      expect(faultOf(create, parameters)).toBeUndefined();
    },
  );

  it.each([
    [{ colour: 'red' }, 'parameters.colour: not known, expected only extensions, locale'],
    [{ extensions: 'citext' }, 'parameters.extensions: expected array'],
    [{ extensions: ['dblink'] }, 'parameters.extensions.0: expected one of citext, hstore'],
    [{ extensions: [1] }, /parameters\.extensions\.0: expected string/],
    [{ extensions: ['citext', 'citext'] }, /^parameters\.extensions: /],
    [{ locale: 'de_DE.UTF-8; DROP' }, /^parameters\.locale: expected C\.UTF-8 .*or an ICU locale such as de-DE/],
  ])('may not be %j', (parameters, message) => {
    expect(faultOf(create, parameters)).toMatch(message);
  });

  it('of an update leave out the locale', () => {
    const update = instanceParametersCheck(plan(), planSchemas(plan()).service_instance.update.parameters);
    expect(faultOf(update, { locale: 'de-DE' })).toMatch(/^parameters\.locale/);
  });

  it('of a plan without extensions are none, in a schema that platforms take', () => {
    const bare = plan({ limits: { extensions: [] } });
    const { parameters } = planSchemas(bare).service_instance.create;
    expect(planSchemaFault(parameters)).toBeUndefined();
    expect(faultOf(instanceParametersCheck(bare, parameters), { extensions: ['citext'] })).toMatch(/extensions/);
  });

  it('follow its own schema, and the limits all the same', () => {
    const own = plan({ schemas: { service_instance: { create: { parameters: draft } } } });
    const schemas = planSchemas(own);
    expect(schemas.service_instance.create.parameters).toEqual(draft);
    expect(schemas.service_binding.create.parameters).toHaveProperty('properties.access');
    const check = instanceParametersCheck(own, schemas.service_instance.create.parameters);
    expect(faultOf(check, { colour: 'red' })).toBeUndefined();
    expect(faultOf(check, { extensions: ['dblink'] })).toMatch(/citext, hstore/);
  });
});

it("a binding's access is one of two", () => {
  const check = bindingParametersCheck(planSchemas(plan()).service_binding.create.parameters);
  expect(faultOf(check, { access: 'read-only' })).toBeUndefined();
  expect(faultOf(check, { access: 'admin' })).toBe('parameters.access: expected one of read-write, read-only');
});

import AjvDraft04 from 'ajv-draft-04';

const MAX_BYTES = 64 * 1024;
const DRAFT_04 = 'http://json-schema.org/draft-04/schema#';

/**
 * Says why the Cloud Controller would refuse a plan's parameter schema, or undefined where it would not: it takes
 * JSON Schema draft-04 with `$schema`, at most 64 KiB, without references to other documents.
 */
export function planSchemaFault(schema: Record<string, unknown>): string | undefined {
  if (schema['$schema'] !== DRAFT_04) return `expected "$schema": "${DRAFT_04}"`;
  if (Buffer.byteLength(JSON.stringify(schema)) > MAX_BYTES) return 'expected a schema of at most 64 KiB';
  const reference = externalReference(schema);
  if (reference !== undefined) return `expected references within the schema only, not ${reference}`;
  try {
    compileSchema(schema);
    return undefined;
  } catch (error) {
    return `expected a valid draft-04 schema: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Compiles a draft-04 schema to a function that checks a value and keeps the errors on itself. */
export function compileSchema(schema: Record<string, unknown>) {
  return new AjvDraft04.default({ allErrors: true, strict: false, validateFormats: false, verbose: true }).compile(
    schema,
  );
}

function externalReference(node: unknown): string | undefined {
  if (typeof node !== 'object' || node === null) return undefined;
  for (const [key, value] of Object.entries(node)) {
    if (key === '$ref' && typeof value === 'string' && !value.startsWith('#')) return value;
    const inner = externalReference(value);
    if (inner !== undefined) return inner;
  }
  return undefined;
}

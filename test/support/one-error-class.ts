import { readFileSync } from 'node:fs';

/*
 * Jest gives each test file globals of its own, while the errors of the system are of Node's own class. The S3 client
 * asks `instanceof Error`, and outside of jest there is one answer: so here too.
 */
try {
  readFileSync('/dev/null/none');
} catch (error) {
  globalThis.Error = (error as Error).constructor as ErrorConstructor;
}

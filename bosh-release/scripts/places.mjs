import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the release. */
export const RELEASE = dirname(dirname(fileURLToPath(import.meta.url)));

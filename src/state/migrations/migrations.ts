import { Tables1764000000000 } from './1764000000000-tables.js';

/** In the order in which they run; a released one is never changed. */
export const MIGRATIONS = [Tables1764000000000];

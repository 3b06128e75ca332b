import { Tables1764000000000 } from './1764000000000-tables.js';
import { Backups1764100000000 } from './1764100000000-backups.js';
import { DiscardedDatabases1764200000000 } from './1764200000000-discarded-databases.js';
import { StrayExtensions1764300000000 } from './1764300000000-stray-extensions.js';
import { Audit1764400000000 } from './1764400000000-audit.js';

/** In the order in which they run; a released one is never changed. */
export const MIGRATIONS = [
  Tables1764000000000,
  Backups1764100000000,
  DiscardedDatabases1764200000000,
  StrayExtensions1764300000000,
  Audit1764400000000,
];

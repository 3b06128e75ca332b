import { type Operation } from '../operations/operation.entity.js';
import { type RestoreNames } from '../postgres/shadow.js';
import { type SwapIntent } from '../postgres/swap.js';
import { type BackupDto } from './backup.dto.js';

/** What the result says of what is put in place. */
export interface SwapReport {
  backup?: BackupDto;
  rows: number | null;
  tables: number | null;
  left_out: string[];
}

/** What restores and undos write down, so that they can go on after a crash, or be undone. */
export interface RestoreMemo {
  /** Everything that a restore makes before its swap. */
  shadow?: RestoreNames;
  /** File of the spool. */
  spool?: string;
  /** Of an undo: the name that the replaced database gets. */
  outgoing?: string;
  /** Written down right before the swap: by it the servers tell whether it has happened. */
  intent?: SwapIntent | null;
  report?: SwapReport;
  /** Bytes of the database that is replaced. */
  replacedBytes?: number;
  decided?: true | null;
}

/** As the handlers of this module wrote it, and nobody else. */
export function restoreMemoOf({ memo }: Operation): RestoreMemo {
  return memo;
}

import { type Requester } from '../auth/requester.js';
import { type ChangeName } from '../http/change.js';

/** A change that somebody asked for. */
export interface AskedChange {
  change: ChangeName;
  /** Null where it concerns none, or the caller may not know which. */
  instanceId: string | null;
  /** What else the request names: a backup, a binding, a storage, an operation, the instance a restore is from. */
  target: Record<string, string>;
  requestedBy: Requester;
  address: string;
  requestId: string;
}

/** What the caller was answered. */
export interface Outcome {
  /** 499: the caller was gone before the whole answer. */
  status: number;
  /** Of an error. */
  code: string | null;
  /** The operation that was begun; its own end stands in it. */
  operationId: string | null;
  instanceId: string | null;
}

/** As it is kept. Without a status the broker ended, or lost the state database, before the answer. */
export interface AuditRecord extends AskedChange {
  id: string;
  askedAt: Date;
  answeredAt: Date | null;
  status: number | null;
  code: string | null;
  operationId: string | null;
}

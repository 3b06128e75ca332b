import { randomBytes } from 'node:crypto';
import { type PartPlan } from './s3-parts.js';

/** A multipart upload that was begun. */
export interface Upload {
  id: string;
  /** Metadata of the object: tells it from any other one under the same key. */
  mark: string;
  plan: PartPlan;
}

export function drawMark(): string {
  return randomBytes(12).toString('hex');
}

/** All that another process needs to go on. */
export function tokenOf({ id, mark, plan }: Upload): string {
  return `${plan.base}.${plan.growFrom}.${mark}.${id}`;
}

/** Undefined for what is no token. */
export function parseToken(token: string): Upload | undefined {
  const [, base, growFrom, mark, id] = /^(\d{1,16})\.(\d{1,16})\.([0-9a-f]{24})\.(.+)$/s.exec(token) ?? [];
  if (mark === undefined || id === undefined) return undefined;
  return { id, mark, plan: { base: Number(base), growFrom: Number(growFrom) } };
}

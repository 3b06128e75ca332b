import { readFileSync, writeFileSync } from 'node:fs';
import { round } from './figures.mjs';

/** Resident memory of a process in MB. @param {number} pid */
export function residentMegabytes(pid) {
  return statusMegabytes(pid, 'VmRSS');
}

/** The highest resident memory of a process during pieces of work, as the kernel notes it (proc_pid_status(5), proc_pid_clear_refs(5)). */
export class HighestMemory {
  /** @type {{ during: string, times: number, highest_mb: number, afterwards_mb: number }[]} */
  rows = [];

  /** @param {number} pid */
  constructor(pid) {
    this.pid = pid;
  }

  /** @template T @param {string} what @param {() => Promise<T>} work @returns {Promise<T>} */
  async during(what, work) {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5');
    const result = await work();
    const row = this.rows.find(({ during }) => during === what) ?? {
      during: what,
      times: 0,
      highest_mb: 0,
      afterwards_mb: 0,
    };
    if (row.times === 0) this.rows.push(row);
    row.times += 1;
    row.highest_mb = Math.max(row.highest_mb, round(statusMegabytes(this.pid, 'VmHWM')));
    row.afterwards_mb = round(residentMegabytes(this.pid));
    return result;
  }
}

/** @param {number} pid @param {'VmRSS' | 'VmHWM'} field */
function statusMegabytes(pid, field) {
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}

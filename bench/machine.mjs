import { cpus, loadavg, release, totalmem } from 'node:os';

/** What a figure cannot be read without. @param {string} postgresVersion */
export function machineFacts(postgresVersion) {
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    // About as many as cores when the measurement was alone; more where others disturbed it.
    load_15_min: Math.round((loadavg()[2] ?? 0) * 10) / 10,
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    postgresql: postgresVersion,
  };
}

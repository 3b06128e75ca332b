import { cpus, release, totalmem } from 'node:os';

/** What a figure cannot be read without. @param {string} postgresVersion */
export function machineFacts(postgresVersion) {
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    postgresql: postgresVersion,
  };
}

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { StartError } from '../errors.js';
import { makeFolder } from './make-folder.js';

/**
 * Makes the data folder where it is missing, mode 0700; one that is there stays as it is.
 * @throws StartError that names the setting and the reason
 */
export async function makeDataFolder(folder: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  try {
    await makeFolder(folder);
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw dataFolderFault(`the data folder ${folder} cannot be used: ${reason}`, env, error);
  }
}

/** @param what without the name of the setting */
export function dataFolderFault(what: string, env: NodeJS.ProcessEnv = process.env, cause?: unknown): StartError {
  const setting = env['BROKER_DATA_DIR'] ? 'BROKER_DATA_DIR (data_dir)' : 'data_dir (or BROKER_DATA_DIR)';
  return new StartError(`${setting}: ${what}`, { cause });
}

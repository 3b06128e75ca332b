import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { StartError } from '../errors.js';
import { makeFolder } from './make-folder.js';

/**
 * Makes the data folder where it is missing, mode 0700; one that is there stays as it is.
 * @param refuse what else is wrong with the folder, if anything
 * @throws StartError that names the setting and the reason
 */
export async function makeDataFolder(
  folder: string,
  refuse: (folder: string) => string | undefined = () => undefined,
): Promise<void> {
  let fault: string | undefined;
  let cause: unknown;
  try {
    await makeFolder(folder);
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    fault = refuse(folder);
  } catch (error) {
    cause = error;
    fault = `the data folder ${folder} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (fault === undefined) return;
  const setting = process.env['BROKER_DATA_DIR'] ? 'BROKER_DATA_DIR (data_dir)' : 'data_dir (or BROKER_DATA_DIR)';
  throw new StartError(`${setting}: ${fault}`, { cause });
}

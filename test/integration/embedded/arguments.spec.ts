import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT } from '../../../embedded/project.mjs';

it.each([
  ['start.mjs', ['--chek-config'], '--check-config'],
  ['start.mjs', ['--help'], '--check-config'],
  ['psql.mjs', [], 'npm run psql -- URI'],
])('%s refuses the arguments %p at once, and says what it takes', (program, args, says) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(PROJECT, 'embedded', program), ...args], {
    encoding: 'utf8',
  });
  expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
  expect(stderr).toContain(says);
});

import { measureBackup } from './backup.mjs';
import { measureProvision } from './provision.mjs';
import { measureRestore } from './restore.mjs';

/** @typedef {{ quick: boolean, large: boolean }} Options */
/** @type {Record<string, { measure: (options: Options) => Promise<void>, flags: string[] }>} */
const BENCHES = {
  provision: { measure: measureProvision, flags: ['--quick'] },
  backup: { measure: measureBackup, flags: ['--quick', '--large'] },
  restore: { measure: measureRestore, flags: ['--quick'] },
};

const [name = '', ...flags] = process.argv.slice(2);
const bench = BENCHES[name];
if (bench === undefined || flags.some((flag) => !bench.flags.includes(flag))) {
  const usages = Object.entries(BENCHES).map(([each, { flags: known }]) =>
    [each, ...known.map((flag) => `[${flag}]`)].join(' '),
  );
  console.error(`usage: npm run bench -- ${usages.join('\n       npm run bench -- ')}`);
  process.exit(1);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
await bench.measure({ quick: flags.includes('--quick'), large: flags.includes('--large') });

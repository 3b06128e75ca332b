import { measureProvision } from './provision.mjs';

/** @type {Record<string, (options: { quick: boolean }) => Promise<void>>} */
const BENCHES = { provision: measureProvision };

const [name = '', ...flags] = process.argv.slice(2);
const bench = BENCHES[name];
if (bench === undefined || flags.some((flag) => flag !== '--quick')) {
  console.error(`usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--quick]`);
  process.exit(1);
}
await bench({ quick: flags.includes('--quick') });

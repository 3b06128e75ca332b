/**
 * Prints one line per step, with its seconds.
 * @typedef {object} Steps
 * @property {<T>(name: string, work: () => Promise<T> | T, speaks?: 'speaks') => Promise<T>} step `speaks`: the work prints lines of its own
 * @property {(line: string) => void} say
 */

/** @returns {Steps} */
export function createSteps() {
  // A reader that has gone (a closed pipe or terminal) must not end what runs.
  process.stdout.on('error', () => {});
  return {
    say: (line) => {
      process.stdout.write(`${line}\n`);
    },
    async step(name, work, speaks) {
      const begun = performance.now();
      // Who looks on sees what takes its time; a file gets whole lines.
      if (process.stdout.isTTY) process.stdout.write(`${name} …${speaks ? '\n' : ''}`);
      const start = process.stdout.isTTY && !speaks ? `\r${name}  ` : name;
      try {
        const result = await work();
        process.stdout.write(`${start}: ${seconds(begun)}\n`);
        return result;
      } catch (error) {
        process.stdout.write(`${start}: failed after ${seconds(begun)}\n`);
        throw error;
      }
    },
  };
}

/** @param {number} begun */
function seconds(begun) {
  return `${((performance.now() - begun) / 1000).toFixed(2)} s`;
}

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '../../embedded/files.mjs';
import { PROJECT } from '../../embedded/project.mjs';

/**
 * `npm run picture`: docs/cf-plugin.svg, from what terminals have shown in the run before of
 * test/e2e/cf-plugin-terminal.spec.ts.
 */

/** @typedef {{ command: string, shown: string }} Recorded */
/** @typedef {{ text: string, style: string }} Piece */

const SESSION = join(PROJECT, '.cache', 'cf-plugin-session.json');
const PICTURE = join(PROJECT, 'docs', 'cf-plugin.svg');
const [CHARACTER, LINE, MARGIN] = /** @type {const} */ ([7.8, 19, 16]);
/** SGR parameters (ECMA-48) that the plugin uses. @type {Record<string, string>} */
const STYLES = { 1: 'bold', 31: 'red', 32: 'green', 35: 'magenta', 36: 'cyan' };

/** What stands on a line in the end: what was written over is gone. @param {string} line */
function settled(line) {
  const last = line.replace(/\r+$/, '').split('\r').at(-1) ?? '';
  return last.replaceAll('\x1b[K', '');
}

/** @param {string} line @returns {Piece[]} */
function pieces(line) {
  let style = '';
  return line.split(/(\x1b\[[0-9;]*m)/).flatMap((part) => {
    const sequence = /^\x1b\[([0-9;]*)m$/.exec(part);
    if (!sequence) return part === '' ? [] : [{ text: part, style }];
    const codes = (sequence[1] || '0').split(';');
    style = codes
      .map((code) => STYLES[code] ?? '')
      .join(' ')
      .trim();
    return [];
  });
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

const recorded = /** @type {Recorded[]} */ (readJson(SESSION));
/** @type {Piece[][]} */
const lines = recorded.flatMap(({ command, shown }) => [
  [
    { text: '$ ', style: 'dim' },
    { text: command, style: 'bold' },
  ],
  ...shown
    .trimEnd()
    .split('\n')
    .map((line) => pieces(settled(line))),
  [],
]);
lines.pop();
const columns = Math.max(...lines.map((line) => line.reduce((sum, { text }) => sum + text.length, 0)));
const [width, height] = [Math.ceil(columns * CHARACTER + 2 * MARGIN), lines.length * LINE + 2 * MARGIN];
const rows = lines.map((line, index) => {
  const spans = line.map(({ text, style }) => `<tspan${style && ` class="${style}"`}>${escaped(text)}</tspan>`);
  return `<text x="${MARGIN}" y="${MARGIN + (index + 0.75) * LINE}" xml:space="preserve">${spans.join('')}</text>`;
});
writeFileSync(
  PICTURE,
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="a session with the cf CLI plugin">
<style>
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #d8dee9 }
.bold { font-weight: bold } .dim { fill: #7b8794 } .red { fill: #ff7b72 } .green { fill: #7ee787 } .magenta { fill: #d2a8ff } .cyan { fill: #79c0ff }
</style>
<rect width="100%" height="100%" rx="8" fill="#161b22"/>
${rows.join('\n')}
</svg>
`,
);

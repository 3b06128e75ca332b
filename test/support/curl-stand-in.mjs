#!/usr/bin/env node
// Stands in for curl where a machine has none: it knows the options that the README and `npm start` print.
import { readFileSync, writeFileSync } from 'node:fs';

const headers = new Headers();
let url = '';
let method;
let body;
let failWithBody = false;
let output;
for (let words = process.argv.slice(2); words.length > 0;) {
  const word = words.shift() ?? '';
  const value = () => words.shift() ?? '';
  if (word === '-u' || word === '--user')
    headers.set('authorization', `Basic ${Buffer.from(value()).toString('base64')}`);
  else if (word === '-H' || word === '--header') headers.set(...headerOf(value()));
  else if (word === '--request') method = value();
  else if (word === '--data') body = value();
  else if (word === '--output') output = value();
  else if (word === '--upload-file') {
    method = 'PUT';
    body = readFileSync(value());
  } else if (word === '--fail-with-body') failWithBody = true;
  else if (word === '--silent' || word === '--show-error') continue;
  else if (word.startsWith('-')) throw new Error(`the stand-in for curl does not know ${word}`);
  else url = word;
}
const answer = await fetch(url, { method: method ?? 'GET', headers, ...(body !== undefined && { body }) });
const bytes = Buffer.from(await answer.arrayBuffer());
if (output === undefined) process.stdout.write(bytes);
else writeFileSync(output, bytes);
// As curl's exit code for a status of 400 or more.
if (failWithBody && !answer.ok) process.exitCode = 22;

/** @param {string} text @returns {[string, string]} */
function headerOf(text) {
  const [name = '', ...rest] = text.split(': ');
  return [name, rest.join(': ')];
}

import { type Answer } from './client.js';

const OSB_ERROR_KEYS = ['error', 'description', 'instance_usable', 'update_repeatable'];
const INNARDS =
  /\bat [\w.<>]+ \(|\.(ts|js|mjs):\d+|node_modules|SELECT |INSERT |UPDATE |DELETE FROM|CREATE (ROLE|DATABASE)|syntax error at/;

/** The answer tells nothing of the broker's innards: no stack trace, no SQL text. */
export function expectNoInnards(answer: Answer): void {
  expect(answer.text).not.toMatch(INNARDS);
}

/** An error as the Open Service Broker API wants it; `says` must be found in its description. */
export function expectRefused(answer: Answer, status: number, { error, says }: { error?: string; says?: RegExp } = {}) {
  expect({ status: answer.status, text: answer.text }).toEqual({ status, text: expect.any(String) as string });
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(OSB_ERROR_KEYS).toEqual(expect.arrayContaining(Object.keys(answer.body)));
  expect(answer.body['description']).toEqual(expect.stringMatching(says ?? /\S/));
  if (answer.body['error'] !== undefined) expect(answer.body['error']).toMatch(/^([A-Z][a-z]+)+$/);
  if (error !== undefined) expect(answer.body['error']).toBe(error);
  expectNoInnards(answer);
}

/** A success as the Open Service Broker API wants it: a JSON object, what is absent left out. */
export function expectDone(answer: Answer, status: number): void {
  expect({ status: answer.status, text: answer.text }).toEqual({
    status,
    text: expect.stringMatching(/^\{.*\}$/s) as string,
  });
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  for (const key of ['operation', 'dashboard_url', 'description']) expect(answer.body[key]).not.toBeNull();
}

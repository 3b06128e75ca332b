import { writeFileSync } from 'node:fs';

/** Jest's reporter for `npm test`: writes the numbers of the run into $BROKER_TEST_REPORT, once every test has ended. */
export default class JestReport {
  /** @param {unknown} _contexts @param {import('./jest.mjs').Report} results */
  onRunComplete(_contexts, results) {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, numPendingTests, numTodoTests } = results;
    const report = { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, numPendingTests, numTodoTests };
    writeFileSync(process.env['BROKER_TEST_REPORT'] ?? '', JSON.stringify(report));
  }
}

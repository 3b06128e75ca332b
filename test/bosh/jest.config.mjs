import project from '../../jest.config.mjs';

/** A suite of its own: run.mjs makes what these files need. @type {import('jest').Config} */
const config = {
  ...project,
  rootDir: '../..',
  roots: ['<rootDir>/test/bosh'],
  testPathIgnorePatterns: [],
  testTimeout: 300_000,
};
delete config.globalSetup;
delete config.globalTeardown;
export default config;

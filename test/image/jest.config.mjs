import project from '../../jest.config.mjs';

/** What is built and started in containers: `npm run test:image`. @type {import('jest').Config} */
export default {
  ...project,
  rootDir: '../..',
  roots: ['<rootDir>/test/image'],
  testPathIgnorePatterns: [],
  testTimeout: 1_200_000,
};

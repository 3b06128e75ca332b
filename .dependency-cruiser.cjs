/** The permitted arrows between the folders of src, as ARCHITECTURE.md draws them. */
const only = (from, to) => ({
  name: `${from}-reaches-only`,
  comment: `src/${from} may import only: ${to.join(', ')}`,
  severity: 'error',
  from: { path: `^src/${from}/`, pathNot: '\\.spec\\.ts$' },
  to: { path: '^src/', pathNot: [`^src/${from}/`, '^src/(errors|upkeep)\\.ts$', ...to.map((name) => `^src/${name}/`)] },
});

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    only('config', []),
    only('state', ['config']),
    only('auth', ['config']),
    only('http', ['config', 'auth']),
    only('postgres', ['config']),
    only('storage', ['config', 'auth', 'http']),
    only('audit', ['config', 'auth', 'http', 'state']),
    only('instances', ['config', 'auth', 'state']),
    only('operations', ['config', 'auth', 'http', 'state']),
    only('broker', ['config', 'auth', 'http', 'instances', 'operations', 'postgres']),
    only('backup', ['config', 'auth', 'http', 'instances', 'operations', 'postgres', 'storage']),
    only('dashboard', ['config', 'auth', 'http', 'backup', 'instances', 'operations', 'storage']),
    only('health', ['config', 'auth', 'http', 'state', 'postgres', 'operations']),
    {
      name: 'pg-boss-only-in-operations',
      severity: 'error',
      from: { pathNot: '^src/operations/' },
      to: { path: '^node_modules/pg-boss' },
    },
    {
      name: 'source-never-imports-tests-or-tools',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^(test|embedded|bench|scripts)/' },
    },
    {
      name: 'not-to-dev-dependency',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.spec\\.ts$' },
      to: { dependencyTypes: ['npm-dev'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.js'], conditionNames: ['import', 'node', 'default'] },
  },
};

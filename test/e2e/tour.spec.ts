import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { PROJECT } from '../../embedded/project.mjs';
import { loadConfig } from '../../src/config/load.js';
import { pasteAll } from '../support/paste.js';
import { readmeBlocks } from '../support/readme.js';
import { npmStart, temporaryFolder } from '../support/starter.js';

describe('the storage in S3 that the README shows', () => {
  it('is one that the configuration takes', async () => {
    const [yaml = ''] = readmeBlocks('Backups', 'yaml');
    const file = join(await temporaryFolder(), 'broker.yml');
    const own = readFileSync(join(PROJECT, 'config/example.yml'), 'utf8')
      .replaceAll('replace-me', 'own')
      .replace(/A{43}=/, Buffer.alloc(32, 7).toString('base64'));
    const example = parse(own) as Record<string, unknown>;
    writeFileSync(file, stringify({ ...example, ...(parse(yaml) as Record<string, unknown>) }));
    const { storages } = loadConfig({ BROKER_CONFIG: file });
    expect(storages).toContainEqual(expect.objectContaining({ name: 's3', type: 's3', bucket: 'my-backups' }));
  });
});

describe('the first tour of the README', () => {
  it('runs as it is pasted, block after block', async () => {
    const blocks = readmeBlocks('First tour', 'sh');
    expect(blocks.length).toBeGreaterThanOrEqual(11);
    const dataDir = join(await temporaryFolder(), 'data');
    const starter = await npmStart({ dataDir });
    await starter.ready();
    const script = blocks.map((block, index) => `echo; echo "block ${index}"\n${block}`).join('\n');
    const said = await pasteAll(['bash', '-euo', 'pipefail', '-c', script], {
      cwd: PROJECT,
      env: { BROKER_DATA_DIR: dataDir, BROKER_PORT: String(starter.port), NODE_OPTIONS: '' },
    });
    expect(said.match(/^block \d+$/gm)).toHaveLength(blocks.length);
    expect(said).toContain('"name":"postgresql"');
    expect(said).toMatch(/\n me\n/);
    expect(said).toContain('0.6666667');
    expect(said).toContain('"backup_name":"first"');
    expect(said).toMatch(/ restored \n-+\n +1\n/);
    expect(said).toContain('"outage_ms":');
    expect(said).toContain('"origin":"upload"');
    for (const kind of ['provision', 'backup', 'restore', 'undo_restore', 'upload', 'deprovision', 'delete_backup'])
      expect(said).toContain(`"kind":"${kind}"`);
    expect(said).not.toContain('"state":"failed"');
    expect(await starter.stop('SIGTERM')).toBe(0);
  });
});

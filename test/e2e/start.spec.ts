import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drawCertificate, servedName } from '../support/certificate.js';
import { paste } from '../support/paste.js';
import {
  curlLines,
  expectGone,
  npmStart,
  processesOf,
  secretsOf,
  type Starter,
  temporaryFolder,
} from '../support/starter.js';
import { until } from '../support/until.js';

let folder: string;
let dataDir: string;
let starter: Starter;

beforeAll(async () => {
  folder = await temporaryFolder();
  dataDir = join(folder, 'data');
  starter = await npmStart({ dataDir });
  await starter.ready();
});

function isReady(): Promise<boolean> {
  return fetch(`http://127.0.0.1:${starter.port}/readyz`).then(
    ({ status }) => status === 200,
    () => false,
  );
}

describe('npm start', () => {
  it('says where it listens, who may log in and where the passwords are, but no password', () => {
    const output = starter.output();
    expect(output).toContain(`http://127.0.0.1:${starter.port}`);
    for (const realm of ['platform', 'admin'])
      expect(output).toContain(`${realm} user: ${realm}, password in ${join(dataDir, `${realm}-password`)}`);
    expect(output).toMatch(/^make the PostgreSQL cluster: \d+\.\d\d s$/m);
    expect(output).toMatch(/^start PostgreSQL \d+\.\d+: \d+\.\d\d s$/m);
    expect(output).toMatch(/^start the broker: \d+\.\d\d s$/m);
  });

  it('prints commands that work as pasted', async () => {
    const [catalog, operations, readyz, ...more] = curlLines(starter.output());
    expect(more).toEqual([]);
    expect(await paste(catalog)).toMatchObject({ services: [{ name: 'postgresql' }] });
    expect(await paste(operations)).toMatchObject({ operations: [] });
    expect(await paste(readyz)).toMatchObject({ servers: [{ name: 'default' }] });
  });

  it('keeps its data from other users', () => {
    // PostgreSQL of another user passes through.
    const through = process.getuid?.() === 0 ? 0o711 : 0o700;
    expect((statSync(dataDir).mode & 0o777).toString(8)).toBe(through.toString(8));
    for (const entry of readdirSync(dataDir, { withFileTypes: true })) {
      const mode = statSync(join(dataDir, entry.name)).mode & 0o777;
      expect([entry.name, mode.toString(8)]).toEqual([entry.name, entry.isDirectory() ? '700' : '600']);
    }
    expect(secretsOf(dataDir)).toHaveLength(6);
  });

  it('refuses a second start on the same data folder, which touches nothing of the first', async () => {
    const before = statSync(dataDir);
    const second = await npmStart({ dataDir, port: starter.port });
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(dataDir);
    expect(second.output()).toContain('BROKER_DATA_DIR');
    expect(second.output()).not.toContain('BROKER_PORT');
    const { mode, ctimeMs } = statSync(dataDir);
    expect({ mode, ctimeMs }).toEqual({ mode: before.mode, ctimeMs: before.ctimeMs });
    expect(await isReady()).toBe(true);
  });

  it('names BROKER_PORT when the port is taken, before it starts anything; a folder that is there stays open', async () => {
    const there = join(folder, 'other');
    mkdirSync(there);
    chmodSync(there, 0o755);
    const other = await npmStart({ dataDir: there, port: starter.port });
    expect(await other.ended).toBe(1);
    expect(other.output()).toContain('BROKER_PORT');
    expect(other.output()).not.toContain('PostgreSQL');
    expect((statSync(there).mode & 0o777).toString(8)).toBe('755');
  });

  it.each([
    ['/proc/broker', 'no such file or directory'],
    ['/dev/null/data', 'not a directory'],
    [tmpdir(), 'shared with others'],
  ])('names BROKER_DATA_DIR and the reason where that is %s', async (impossible, reason) => {
    const other = await npmStart({ dataDir: impossible });
    expect(await other.ended).toBe(1);
    expect(other.output()).toMatch(/^BROKER_DATA_DIR \(data_dir\): /m);
    expect(other.output()).toContain(reason);
    expect(other.output()).not.toContain('    at ');
  });

  it('starts PostgreSQL again when that was killed', async () => {
    const { postgres } = processesOf(dataDir);
    process.kill(postgres.pid, 'SIGKILL');
    await until('another PostgreSQL', () => {
      const now = /^start PostgreSQL/gm;
      return (starter.output().match(now) ?? []).length === 2;
    });
    await until('a broker that is ready again', isReady);
  });

  it('ends all at SIGTERM, exit code 0', async () => {
    const processes = processesOf(dataDir);
    expect(await starter.stop('SIGTERM')).toBe(0);
    await expectGone(processes);
    expect(readdirSync(join(dataDir, 'socket'))).toEqual([]);
  });

  it('makes nothing again at the next start, and ends at SIGINT, exit code 0', async () => {
    const kept = readFileSync(join(dataDir, 'embedded.json'), 'utf8');
    const next = await npmStart({ dataDir, port: starter.port });
    await next.ready();
    expect(next.output()).not.toMatch(/^(install|build|fetch|make)/m);
    expect(readFileSync(join(dataDir, 'embedded.json'), 'utf8')).toBe(kept);
    const processes = processesOf(dataDir);
    expect(await next.stop('SIGINT')).toBe(0);
    await expectGone(processes);
    const log = starter.output() + next.output();
    for (const secret of secretsOf(dataDir)) expect(log).not.toContain(secret);
    // What is not for a terminal is one JSON object a line.
    for (const line of log.split('\n').filter((text) => text.startsWith('{')))
      expect(() => JSON.parse(line) as unknown).not.toThrow();
    expect(log).toMatch(/^\{"level":"info"/m);
  });
});

/** Debian's smallest system has no `ip`, but Perl; netdevice(7): SIOCSIFFLAGS, IFF_UP and IFF_RUNNING. */
const LOOPBACK_UP = `perl -MSocket -e 'socket(my $s, PF_INET, SOCK_DGRAM, 0) or die $!; my $r = pack("a16 s x14", "lo", 0x41); ioctl($s, 0x8914, $r) or die $!'`;

/** Runs the command where there is a loopback and no other network, and says which interfaces there are. */
function withoutNetwork(command: string): string[] {
  // Who is not root may do so as in a namespace of its own, under its own name.
  const asUser = process.getuid?.() === 0 ? [] : ['--map-current-user', '--keep-caps'];
  const script = `${LOOPBACK_UP} && echo interfaces: $(tail -n +3 /proc/net/dev | cut -d: -f1) && exec ${command}`;
  return ['unshare', '--net', ...asUser, 'sh', '-c', script];
}

describe('the second npm start', () => {
  it('works without a network', async () => {
    const next = await npmStart({ dataDir, port: starter.port, command: withoutNetwork('npm start') });
    await next.ready();
    expect(next.output()).toMatch(/^interfaces: lo$/m);
    expect(next.output()).not.toMatch(/^(install|build|fetch|make)/m);
    expect(await next.stop('SIGTERM')).toBe(0);
  });
});

describe('npm start with a certificate', () => {
  it('takes a renewed one into use at SIGHUP', async () => {
    const files = { certificate: join(folder, 'certificate.pem'), private_key: join(folder, 'key.pem') };
    const put = (name: string) => {
      const { certificate, privateKey } = drawCertificate(name);
      writeFileSync(files.certificate, certificate);
      writeFileSync(files.private_key, privateKey);
    };
    put('former');
    const config = join(folder, 'tls.json');
    writeFileSync(config, JSON.stringify({ http: { tls: files } }));
    const secured = await npmStart({ dataDir, env: { BROKER_CONFIG: config } });
    await secured.ready();
    const url = `https://127.0.0.1:${secured.port}`;
    const before = processesOf(dataDir);
    expect(await servedName(url)).toBe('former');
    put('renewed');
    process.kill(before.starter.pid, 'SIGHUP');
    await until('the renewed certificate', async () => (await servedName(url)) === 'renewed');
    expect(processesOf(dataDir)).toEqual(before);
    expect(await secured.stop('SIGTERM')).toBe(0);
  });
});

describe('npm start -- --check-config', () => {
  it('ends with 0 when the configuration is valid, with 78 and every fault when not', async () => {
    const check = ['npm', 'start', '--', '--check-config'];
    const valid = await npmStart({ dataDir: join(folder, 'checked'), command: check });
    const config = join(folder, 'broker.yml');
    writeFileSync(config, 'http: { port: no }\nfrob: 1\n');
    const faulty = await npmStart({
      dataDir: join(folder, 'checked'),
      command: check,
      env: { BROKER_CONFIG: config, BROKER_PORT: '' },
    });
    expect([await valid.ended, await faulty.ended]).toEqual([0, 78]);
    expect(existsSync(join(folder, 'checked'))).toBe(false);
    expect(faulty.output()).toContain('http.port: ');
    expect(faulty.output()).toContain('frob: unknown key');
  });
});

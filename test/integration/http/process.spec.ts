import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnBroker } from '../../support/broker.js';
import { brokerHome, merged } from '../../support/broker-home.js';
import { drawCertificate, servedName } from '../../support/certificate.js';
import { type Cluster, startCluster } from '../../support/cluster.js';
import { until } from '../../support/until.js';

const main = join(import.meta.dirname, '../../../dist/main.js');
const folder = mkdtempSync(join(tmpdir(), 'broker-process-'));
let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster.remove();
  rmSync(folder, { recursive: true });
});

async function run(config: object, ...args: string[]) {
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env['PATH'], BROKER_CONFIG: file },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

it('lists every fault of the configuration and exits with 78', async () => {
  const faulty = { http: { port: 'x' }, extra: 1, servers: [{ name: 'a', url: 'postgres://h/d' }] };
  for (const args of [[], ['--check-config']]) {
    const { code, out, err } = await run(faulty, ...args);
    expect(code).toBe(78);
    expect(out).toBe('');
    expect(err).toMatch(/^the configuration has \d faults:\n/);
    for (const fault of ['http.port: expected a port number', 'extra: unknown key', 'state.url: expected', 'admin: '])
      expect(err).toContain(fault);
    expect(err).not.toContain('    at ');
  }
});

it('says that a configuration is valid, without starting', async () => {
  const { config } = await brokerHome({ cluster });
  expect(await run(config, '--check-config')).toEqual({ code: 0, out: 'the configuration is valid\n', err: '' });
});

it('takes a renewed certificate into use at SIGHUP', async () => {
  const files = { certificate: join(folder, 'certificate.pem'), private_key: join(folder, 'key.pem') };
  const put = (name: string) => {
    const { certificate, privateKey } = drawCertificate(name);
    writeFileSync(files.certificate, certificate);
    writeFileSync(files.private_key, privateKey);
  };
  put('former');
  const broker = await spawnBroker({ cluster, config: { http: { tls: files } } });
  expect(await servedName(broker.url)).toBe('former');
  put('renewed');
  broker.child.kill('SIGHUP');
  await until('the renewed certificate', async () => (await servedName(broker.url)) === 'renewed');
  expect(await broker.stop()).toBe(0);
});

it('refuses an unknown argument', async () => {
  const { config } = await brokerHome({ cluster });
  const { code, err } = await run(config, '--frobnicate');
  expect(code).toBe(64);
  expect(err).toContain('--check-config');
});

it('names BROKER_PORT where the port is taken', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const { config } = await brokerHome({ cluster });
  const { code, err } = await run(merged(config, { http: { port } }));
  taken.close();
  expect(code).toBe(1);
  expect(err).toBe(`port ${port} of 127.0.0.1 is taken: set BROKER_PORT (or http.port) to a free one\n`);
});

it('refuses the data folder of a broker that lives, and takes that of one that was killed', async () => {
  const broker = await spawnBroker({ cluster });
  const { home } = broker;
  const { code, err } = await run(home.config);
  expect(code).toBe(1);
  expect(err).toBe(
    `another broker process uses the data folder ${home.dataDir}: end it, or set data_dir to another folder\n`,
  );
  await broker.kill();
  expect(await (await spawnBroker({ home, cluster })).stop()).toBe(0);
});

it('ends cleanly on SIGTERM, on SIGINT, and when who started it is gone', async () => {
  const endings = [
    (child: Child) => child.kill('SIGTERM'),
    (child: Child) => child.kill('SIGINT'),
    (child: Child) => child.disconnect(),
  ];
  for (const end of endings) {
    const { child, gone, log } = await spawnBroker({ cluster });
    end(child);
    await gone;
    expect([child.exitCode, child.signalCode]).toEqual([0, null]);
    expect(log.filter((line) => /"level":"(error|fatal)"/.test(line))).toEqual([]);
  }
});

type Child = Awaited<ReturnType<typeof spawnBroker>>['child'];

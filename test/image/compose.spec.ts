import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PROJECT } from '../../embedded/project.mjs';
import { basic } from '../support/client.js';
import { pasteAll } from '../support/paste.js';
import { readmeBlocks } from '../support/readme.js';
import { temporaryFolder } from '../support/starter.js';
import { until } from '../support/until.js';
import { Machine } from './machine.js';

const IMAGE = 'docker.io/library/postgresql-broker:latest';

let machine: Machine;

beforeAll(async () => {
  machine = await Machine.start();
});

afterAll(() => machine.stop());

/** Answers of the broker behind the proxy, as a status and a body. */
async function ask(
  path: string,
  credential?: { username: string; password: string },
): Promise<{ status: number; text: string }> {
  const [program = '', ...words] = machine.onItsNetwork;
  const header = credential ? ['--header', `Authorization: ${basic(credential)}`] : [];
  const call = [
    'curl',
    '--silent',
    '--max-time',
    '20',
    '--write-out',
    '\n%{http_code}',
    ...header,
    `http://127.0.0.1:8080${path}`,
  ];
  const { stdout } = await promisify(execFile)(program, [...words, ...call]).catch(() => ({ stdout: '\n0' }));
  const lines = stdout.split('\n');
  return { status: Number(lines.at(-1)), text: lines.slice(0, -1).join('\n') };
}

/** The nodes of the replicas, as each keeps its own. */
async function nodes(): Promise<string[]> {
  const said = await machine.inside(
    `cd $(podman volume inspect postgresql-broker_broker --format '{{.Mountpoint}}')/nodes; tail -qn +1 */node-id`,
  );
  return said.match(/[a-z0-9]{12}/g) ?? [];
}

/** How many replicas the proxy finds ready. */
async function replicasSeen(calls = 8): Promise<number> {
  const seen = new Set<string>();
  for (let call = 0; call < calls; call++) await ask('/healthz');
  const log = await machine.inside(`podman logs --tail ${calls} postgresql-broker-proxy-1 2>&1`);
  for (const [name] of log.matchAll(/brokers\/replica\d+(?= )/g)) seen.add(name);
  return seen.size;
}

describe('the image', () => {
  it('runs as a user of its own, has what it needs to be looked after, and no secret or tool of its making', async () => {
    const [image] = JSON.parse(await machine.inside(`podman image inspect ${IMAGE}`)) as [Record<string, unknown>];
    expect(image).toMatchObject({
      User: '10001:10001',
      Config: { Entrypoint: ['/usr/bin/tini', '--', '/app/docker/start'], StopSignal: 'SIGTERM' },
      Labels: expect.objectContaining({ 'org.opencontainers.image.licenses': 'Apache-2.0' }) as object,
      Healthcheck: { Test: expect.arrayContaining(['/healthz']) as string[] },
    });
    const run = `podman run --rm --read-only --network none --entrypoint sh ${IMAGE} -c`;
    const held = await machine.inside(
      `${run} 'id -u; ls -A /app /app/node_modules; ls /usr/lib/postgresql/*/bin/pg_dump'`,
    );
    expect(held).toMatch(/^10001\n/);
    expect(held).toContain('bin/pg_dump');
    expect(held).toMatch(/^fastify$/m);
    expect(held).not.toMatch(/^(jest|eslint|src|test|\.git|\.env|\.npmrc)$/m);
    const writable = await machine.inside(
      `${run} 'find / -xdev -writable ! -type l ! -path "/proc/*" ! -path "/dev/*" 2>/dev/null || true'`,
    );
    const own = /^(\/tmp|\/var\/tmp|\/run\/lock|\/var\/lib\/postgresql-broker)?$/;
    expect(writable.split('\n').filter((path) => !own.test(path))).toEqual([]);
  });

  it('says what is wrong with its configuration, and ends at a signal while it waits for its state database', async () => {
    const run = `podman run --read-only --tmpfs /tmp --network none`;
    const code = await machine.inside(`${run} --rm ${IMAGE} --check-config >/tmp/said 2>&1 || echo $?; cat /tmp/said`);
    expect(code).toMatch(/^78\n/);
    expect(code).toContain('state.url');
    const yaml = JSON.stringify({
      platform: { credentials: [{ password: 'one' }] },
      admin: { credentials: [{ password: 'two' }] },
      state: {
        url: 'postgres://a:b@127.0.0.1:1/a',
        encryption_keys: [{ id: 'k', secret: Buffer.alloc(32, 7).toString('base64') }],
      },
      servers: [{ name: 'a', url: 'postgres://a:b@127.0.0.1:1/a' }],
    });
    await machine.inside(`${run} --detach --name waiting --env BROKER_CONFIG_YAML='${yaml}' ${IMAGE}`);
    await until('its wait', async () =>
      (await machine.inside('podman logs waiting 2>&1')).includes('cannot be reached'),
    );
    await machine.inside('podman stop --time 30 waiting 2>&1');
    expect(await machine.inside(`podman inspect waiting --format '{{.State.ExitCode}}'; podman rm waiting`)).toMatch(
      /^0\n/,
    );
  });
});

describe('docker compose', () => {
  const secrets = new Map<string, string>();
  const credential = (username: string) => ({
    username,
    password: secrets.get(`BROKER_${username.toUpperCase()}_PASSWORD`) ?? '',
  });

  it('says what is missing without .env, and nothing in the file is a password', async () => {
    await expect(machine.compose('config', '/dev/null')).rejects.toMatchObject({
      output: expect.stringMatching(/required variable [A-Z0-9_]+ is missing a value: make .env/) as string,
    });
    const drawn = await machine.inside('/checkout/docker/draw-passwords > /tmp/env; cat /tmp/env');
    for (const [, name = '', value = ''] of drawn.matchAll(/^(\w+)=(.+)$/gm)) secrets.set(name, value);
    const names = (await machine.compose('config --variables')).match(/^\w+_(PASSWORD|KEY)\b/gm) ?? [];
    expect([...new Set(names)].sort()).toEqual([...secrets.keys()].sort());
  });

  it('brings up two replicas behind one port, and the tour of the README works with them', async () => {
    await machine.compose('up --no-build --wait --scale broker=2');
    expect(new Set(await nodes()).size).toBe(2);
    await until('both replicas behind the proxy', async () => (await replicasSeen()) === 2);
    const folder = await temporaryFolder();
    mkdirSync(join(folder, 'checkout'));
    writeFileSync(join(folder, 'checkout', '.env'), [...secrets].map((pair) => `${pair.join('=')}\n`).join(''));
    const [, passwords = ''] = readmeBlocks('With containers', 'sh');
    const blocks = [
      `cd ${join(folder, 'checkout')}\n${passwords}`,
      `data=$PWD/$BROKER_DATA_DIR; BROKER_DATA_DIR=$data; cd ${PROJECT}`,
      ...readmeBlocks('First tour', 'sh'),
    ];
    const said = await pasteAll([...machine.onItsNetwork, 'bash', '-euo', 'pipefail', '-c', blocks.join('\n')], {
      env: { NODE_OPTIONS: '' },
    });
    expect(said).toMatch(/\n me\n/);
    expect(said).toMatch(/ restored \n-+\n +1\n/);
    expect(said).toContain('"origin":"upload"');
    for (const kind of ['provision', 'backup', 'restore', 'undo_restore', 'upload', 'deprovision', 'delete_backup'])
      expect(said).toContain(`"kind":"${kind}"`);
    expect(said).not.toContain('"state":"failed"');
  });

  it('keeps S3 backups in the bucket that it makes', async () => {
    const storages = await ask('/storages', credential('admin'));
    expect(JSON.parse(storages.text)).toMatchObject({
      storages: [
        { name: 'local', reachable: true },
        { name: 's3', reachable: true },
      ],
    });
  });

  it('answers on while a replica is killed, and made anew it is the same node', async () => {
    const before = await nodes();
    await machine.inside('podman kill --signal KILL postgresql-broker-broker-1');
    for (let call = 0; call < 20; call++) expect((await ask('/v2/catalog')).status).toBe(401);
    await machine.compose('up --no-build --wait --force-recreate --no-deps --scale broker=2 broker');
    expect(await nodes()).toEqual(before);
    await until('both replicas behind the proxy', async () => (await replicasSeen()) === 2);
  });

  it('keeps everything in its volumes', async () => {
    const before = await nodes();
    await machine.compose('down');
    await machine.compose('up --no-build --wait --scale broker=1');
    expect(await nodes()).toEqual(before);
    const operations = await ask('/operations?instance_id=my-db', credential('admin'));
    expect(operations.text).toContain('"kind":"provision"');
    await machine.compose('down --volumes');
  });
});

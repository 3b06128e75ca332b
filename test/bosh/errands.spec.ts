import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { goTool } from '../../embedded/go-tools.mjs';
import { drawCertificate } from '../support/certificate.js';
import { type Json } from '../support/client.js';
import { type CloudController, startCloudController } from '../support/cloud-controller.js';
import { type JobOnVm } from './vm/agent.js';
import { brokerJob, Deployed, drawPorts, type Ports, postgresJob } from './vm/deployment.js';
import { steps } from './vm/steps.js';
import { Vm } from './vm/vm.js';

describe('the errands, with the real cf and the Cloud Controller of the tests', () => {
  const step = steps();
  const authority = drawCertificate('localhost');
  let controller: CloudController;
  let deployed: Deployed;
  let ports: Ports;

  beforeAll(async () => {
    const cf = await goTool('cf');
    controller = await startCloudController({ tls: authority, host: 'localhost' });
    ports = await drawPorts();
    const server = postgresJob(ports);
    const broker = brokerJob(ports, server, { http: { external_url: `http://127.0.0.1:${ports.http}` } });
    const vm = await Vm.create({ bytes: 2 ** 30 });
    // As the job cf-cli-8-linux of the release cf-cli brings it.
    const bin = join(vm.root, 'packages', 'cf-cli-8-linux', 'bin');
    mkdirSync(bin, { recursive: true });
    cpSync(cf, join(bin, 'cf'));
    deployed = new Deployed(vm, ports, [server, broker, ...errands(broker)]);
    await deployed.agent.apply();
    await deployed.agent.start();
  });
  afterAll(async () => {
    await deployed.vm.destroy();
    await controller.close();
  });

  const errands = (broker: JobOnVm): JobOnVm[] => {
    const { id, secret } = controller.world.client;
    const cf = { api_url: controller.url, client_id: id, client_secret: secret, ca: authority.certificate };
    const links = { 'postgres-broker': { address: '127.0.0.1', properties: broker.properties } };
    return [
      { name: 'register-broker', properties: { cf }, links },
      { name: 'deregister-broker', properties: { cf } },
      { name: 'smoke-tests', properties: { cf: { ...cf, organization: 'org', space: 'space' } }, links },
    ];
  };
  const run = (errand: string) => deployed.agent.script(errand, 'run');

  step('register-broker registers it and opens the plans, and can be repeated', async () => {
    await run('register-broker');
    await run('register-broker');
    expect(controller.world.brokers.map(({ name, url }) => [name, url])).toEqual([
      ['postgresql', `http://127.0.0.1:${ports.http}`],
    ]);
    expect(controller.world.plans.map(({ name, visibility }) => [name, visibility.type])).toEqual([
      ['small', 'public'],
      ['medium', 'public'],
      ['large', 'public'],
    ]);
  });

  step('smoke-tests pass, and leave nothing', async () => {
    expect(await run('smoke-tests')).toMatch(/restore the backup[^]*delete the instance[^]*all is well\n$/);
    expect(controller.world.instances).toEqual([]);
    const { operations } = (await deployed.admin.get('/operations')).body as { operations: Json[] };
    expect(operations.map(({ kind, state }) => `${String(kind)} ${String(state)}`)).toEqual(
      expect.arrayContaining(['backup succeeded', 'restore succeeded', 'deprovision succeeded']),
    );
  });

  step('smoke-tests fail where the broker does not work; the next ones clean up', async () => {
    await deployed.vm.run('/var/vcap/bosh/bin/monit stop postgres');
    await expect(run('smoke-tests')).rejects.toThrow(/make an instance/);
    await deployed.vm.run('/var/vcap/bosh/bin/monit start postgres');
    await deployed.agent.script('postgres', 'post-start');
    await deployed.ready();
    await run('smoke-tests');
    expect(controller.world.instances).toEqual([]);
  });

  step('deregister-broker takes the registration, and can be repeated', async () => {
    await run('deregister-broker');
    expect(controller.world.brokers).toEqual([]);
    expect(await run('deregister-broker')).toContain('there is no registration');
  });
});

import { findFreePort } from '../../embedded/server.mjs';
import { s3Storage } from './backups.js';
import { type SpawnedBroker, spawnBroker } from './broker.js';
import { brokerHome, merged } from './broker-home.js';
import { type Cf, cfIn, type CfPrograms, cfPrograms, removePrograms } from './cf.js';
import { type CloudController, startCloudController } from './cloud-controller.js';
import { type Cluster, startCluster } from './cluster.js';
import { type FaultyPath, openFaultyPath } from './faulty-path.js';
import { type S3Server, startS3Server } from './s3-server.js';

export type UserName = keyof CloudController['world']['users'];

/** A platform with the broker registered, and what its users type at. */
export interface CfWorld {
  programs: CfPrograms;
  controller: CloudController;
  cluster: Cluster;
  s3: S3Server;
  broker: SpawnedBroker;
  /** Between the users and the broker. */
  path: FaultyPath;
}

/** As an operator does it: register the broker, open its service to everybody. */
export async function makeCfWorld(): Promise<CfWorld> {
  const programs = await cfPrograms();
  const [controller, cluster, s3] = await Promise.all([startCloudController(), startCluster(), startS3Server()]);
  const port = await findFreePort();
  const path = await openFaultyPath(`http://127.0.0.1:${port}`);
  const home = await brokerHome({ cluster });
  home.config = merged(home.config, {
    http: { port, external_url: path.endpoint },
    cloud_controller: { url: controller.url },
    storages: [s3Storage(s3, await s3.makeBucket())],
  });
  const broker = await spawnBroker({ home });
  const world = { programs, controller, cluster, s3, broker, path };
  const admin = await logIn(world, 'admin');
  const { username, password } = home.platform;
  await admin.done(['create-service-broker', 'postgresql', username, password, broker.url]);
  await admin.done(['enable-service-access', 'postgresql']);
  return world;
}

export async function leaveCfWorld(world: CfWorld | undefined): Promise<void> {
  await world?.broker.stop();
  await Promise.all([world?.path.close(), world?.controller.close(), world?.cluster.remove(), world?.s3.remove()]);
  await removePrograms(world?.programs);
}

/** A fresh home with the plugin, logged in and in the space of that user. */
export async function logIn(world: CfWorld, name: UserName): Promise<Cf> {
  const { controller, programs } = world;
  const cf = await cfIn(programs);
  const user = controller.world.users[name];
  await cf.done(['install-plugin', '-f', programs.plugin]);
  await cf.done(['api', controller.url]);
  await cf.done(['auth', user.name, user.password]);
  await cf.done(['target', '-o', name === 'outsider' ? 'elsewhere' : 'org', '-s', 'space']);
  return cf;
}

/** A database as a developer gets it, and its `uri`. */
export async function createDatabase(cf: Cf, name: string): Promise<string> {
  await cf.done(['create-service', 'postgresql', 'small', name, '--wait']);
  await cf.done(['create-service-key', name, 'key', '--wait']);
  const printed = await cf.done(['service-key', name, 'key']);
  const { credentials } = JSON.parse(printed.slice(printed.indexOf('{'))) as { credentials: { uri: string } };
  return credentials.uri;
}

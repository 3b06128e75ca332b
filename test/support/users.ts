import { type BrokerOptions, type RunningBroker, startBroker } from './broker.js';
import { merged } from './broker-home.js';
import { type HttpClient, type Json } from './client.js';
import { type CloudController, startCloudController } from './cloud-controller.js';
import { type Cluster } from './cluster.js';

/** A broker that takes the tokens of the users of a Cloud Controller. */
export interface Cloud {
  controller: CloudController;
  broker: RunningBroker;
  /** A client with this token, and nothing else. */
  withToken(token: string): HttpClient;
  /** A client with a fresh token of the user. */
  as(name: keyof CloudController['world']['users']): Promise<HttpClient>;
  /** A service instance at the controller and at the broker; its guid. */
  instance(name: string, space?: 'space' | 'elsewhere'): Promise<string>;
  end(): Promise<void>;
}

export async function startCloud(
  cluster: Cluster,
  {
    config = {},
    start = startBroker,
  }: { config?: Json; start?: (options: BrokerOptions) => Promise<RunningBroker> } = {},
): Promise<Cloud> {
  const controller = await startCloudController();
  const broker = await start({ cluster, config: merged({ cloud_controller: { url: controller.url } }, config) });
  const withToken = (token: string) => broker.admin.as(undefined).having({ authorization: `bearer ${token}` });
  return {
    controller,
    broker,
    withToken,
    as: async (name) => withToken(await controller.token(controller.world.users[name])),
    instance: async (name, space = 'space') => {
      const { guid } = controller.world.addInstance(undefined, { name, space: controller.world[space] });
      const { status, text } = await broker.platform.provision(guid);
      if (status !== 201) throw new Error(`provision: ${status} ${text}`);
      return guid;
    },
    end: async () => {
      await broker.stop();
      await controller.close();
    },
  };
}

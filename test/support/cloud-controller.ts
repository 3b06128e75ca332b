import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { admits, ControllerError, listOf, metadata, queryOf, related, userOf } from './cloud-controller-answers.js';
import { CredentialBindings } from './cloud-controller-bindings.js';
import { Faults } from './cloud-controller-faults.js';
import { Instances } from './cloud-controller-instances.js';
import { Jobs } from './cloud-controller-jobs.js';
import { Services } from './cloud-controller-services.js';
import { Uaa } from './cloud-controller-uaa.js';
import { type User, World } from './cloud-controller-world.js';

type Who = (request: FastifyRequest) => Promise<User>;

export interface CloudControllerOptions {
  /** Serves HTTPS with this. */
  tls?: { certificate: string; privateKey: string };
  /** Host in the addresses that it gives away; default 127.0.0.1. */
  host?: string;
}

/**
 * The tests' own Cloud Controller and UAA: the part of the API v3 that the real `cf` 8 and the broker ask, over real
 * sockets, with real RS256 tokens. It calls service brokers as the real one does.
 */
export interface CloudController {
  readonly url: string;
  readonly uaa: Uaa;
  readonly world: World;
  /** Of both servers. */
  readonly faults: Faults;
  /** A fresh access token. */
  token(user: User): Promise<string>;
  /** Ends both: connections are refused from then on. */
  close(): Promise<void>;
}

export async function startCloudController(options: CloudControllerOptions = {}): Promise<CloudController> {
  const { host = '127.0.0.1' } = options;
  const world = new World();
  const uaa = await Uaa.of(world);
  const faults = new Faults();
  const servers = [server(options, faults), server(options, faults)] as const;
  const [api, login] = servers;
  let url = '';
  const base = () => url;
  const who: Who = (request) => userOf(request, uaa, world);
  const jobs = new Jobs(world, base);
  uaa.routes(login);
  root(api, base, uaa);
  places(api, base, world, who);
  for (const part of [Services, Instances, CredentialBindings]) new part(world, jobs, base, who).routes(api);
  jobs.routes(api);
  const scheme = options.tls ? 'https' : 'http';
  url = `${scheme}://${host}:${await listening(api)}`;
  uaa.url = `${scheme}://${host}:${await listening(login)}`;
  const close = async () => {
    faults.heal();
    await Promise.all(servers.map((each) => each.close()));
    await jobs.ended();
  };
  return { url, uaa, world, faults, token: (user) => uaa.token(user), close };
}

function server({ tls }: CloudControllerOptions, faults: Faults): FastifyInstance {
  const https = tls ? { https: { cert: tls.certificate, key: tls.privateKey } } : {};
  const made = fastify({
    ...https,
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true },
  }) as FastifyInstance;
  faults.install(made);
  made.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
    done(null, Object.fromEntries(new URLSearchParams(body as string))),
  );
  // cf names a content type with its DELETEs too.
  made.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
    done(null, body === '' ? undefined : JSON.parse(body as string)),
  );
  made.setNotFoundHandler((_request, reply) =>
    reply.status(404).send(new ControllerError(404, 10000, 'CF-NotFound', 'Unknown request').body),
  );
  made.setErrorHandler((error, _request, reply) => {
    const known =
      error instanceof ControllerError ? error : new ControllerError(500, 10001, 'CF-Unknown', String(error));
    return reply.status(known.status).send(known.body);
  });
  return made;
}

async function listening(made: FastifyInstance): Promise<number> {
  return Number(new URL(await made.listen({ host: '127.0.0.1', port: 0 })).port);
}

function root(api: FastifyInstance, base: () => string, uaa: Uaa): void {
  api.get('/', () => ({
    links: {
      self: { href: base() },
      cloud_controller_v2: null,
      cloud_controller_v3: { href: `${base()}/v3`, meta: { version: '3.196.0' } },
      uaa: { href: uaa.url },
      login: { href: uaa.url },
      network_policy_v0: null,
      network_policy_v1: null,
      logging: null,
      log_cache: null,
      app_ssh: null,
      routing: null,
    },
  }));
  api.get('/v3', () => ({ links: { self: { href: `${base()}/v3` } } }));
  api.get('/v3/feature_flags/service_instance_sharing', () => ({ name: 'service_instance_sharing', enabled: true }));
}

function places(api: FastifyInstance, base: () => string, world: World, who: Who): void {
  api.get('/v3/organizations', async (request) => {
    const user = await who(request);
    const seen = world.organizations.filter(
      (org) =>
        admits(queryOf(request), 'names', org.name) &&
        world.spaces.some((space) => space.organization === org && world.mayRead(user, space)),
    );
    const forms = seen.map(({ guid, name }) => ({ guid, name, suspended: false, relationships: {}, metadata }));
    return listOf(request, base(), forms);
  });
  api.get('/v3/spaces', async (request) => {
    const user = await who(request);
    const seen = world.spaces.filter(
      (space) =>
        world.mayRead(user, space) &&
        admits(queryOf(request), 'names', space.name) &&
        admits(queryOf(request), 'guids', space.guid) &&
        admits(queryOf(request), 'organization_guids', space.organization.guid),
    );
    const forms = seen.map(({ guid, name, organization }) => ({
      guid,
      name,
      relationships: { organization: related(organization.guid) },
      metadata,
    }));
    return listOf(request, base(), forms);
  });
}

import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type JWTPayload, jwtVerify } from 'jose';
import { type Uaa } from './cloud-controller-uaa.js';
import { type User, type World } from './cloud-controller-world.js';

/** An error as the Cloud Controller's API v3 answers it. */
export class ControllerError extends Error {
  constructor(
    readonly status: number,
    readonly code: number,
    readonly title: string,
    detail: string,
  ) {
    super(detail);
  }

  get body(): object {
    return { errors: [{ code: this.code, title: this.title, detail: this.message }] };
  }
}

export const notFound = (what: string) => new ControllerError(404, 10010, 'CF-ResourceNotFound', `${what} not found`);
export const forbidden = () =>
  new ControllerError(403, 10003, 'CF-NotAuthorized', 'You are not authorized to perform the requested action');
export const unprocessable = (detail: string) => new ControllerError(422, 10008, 'CF-UnprocessableEntity', detail);

/**
 * Who asks, by the token, which the controller judges by itself.
 * @throws ControllerError 401
 */
export async function userOf(request: FastifyRequest, uaa: Uaa, world: World): Promise<User> {
  const token = /^bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined) throw new ControllerError(401, 10002, 'CF-NotAuthenticated', 'Authentication error');
  const { user_id: id, client_id: client } = await claimsOf(token, uaa);
  const user = Object.values(world.users).find(({ guid }) => guid === id);
  if (user === undefined && client !== world.client.id)
    throw new ControllerError(401, 1000, 'CF-InvalidAuthToken', 'Invalid Auth Token');
  return user ?? world.users.admin;
}

async function claimsOf(token: string, uaa: Uaa): Promise<JWTPayload> {
  try {
    const options = { algorithms: ['RS256'], audience: 'cloud_controller', issuer: uaa.issuer };
    const keyOf = ({ kid }: { kid?: string }) => {
      const key = uaa.publicKey(kid);
      if (key === undefined) throw new Error('unknown key');
      return key;
    };
    return (await jwtVerify(token, keyOf, options)).payload;
  } catch {
    throw new ControllerError(401, 1000, 'CF-InvalidAuthToken', 'Invalid Auth Token');
  }
}

export type Query = Record<string, string | undefined>;

export function queryOf(request: FastifyRequest): Query {
  return request.query as Query;
}

/** Whether a value is among those of a comma-separated filter; one that is not given admits everything. */
export function admits(query: Query, key: string, value: string | undefined): boolean {
  const asked = query[key];
  return asked === undefined || (value !== undefined && asked.split(',').includes(value));
}

/** One page of a list, as the API v3 wraps it. */
export function listOf(request: FastifyRequest, base: string, resources: object[], included?: object): object {
  const query = queryOf(request);
  const size = Number(query['per_page'] ?? 50);
  const page = Number(query['page'] ?? 1);
  const pages = Math.max(1, Math.ceil(resources.length / size));
  const link = (to: number) => {
    const url = new URL(request.url, base);
    url.searchParams.set('page', String(to));
    return { href: url.href };
  };
  return {
    pagination: {
      total_results: resources.length,
      total_pages: pages,
      first: link(1),
      last: link(pages),
      next: page < pages ? link(page + 1) : null,
      previous: page > 1 ? link(page - 1) : null,
    },
    resources: resources.slice((page - 1) * size, page * size),
    ...(included && { included }),
  };
}

export function accepted(reply: FastifyReply, base: string, job: { guid: string }): FastifyReply {
  return reply.status(202).header('location', `${base}/v3/jobs/${job.guid}`).send();
}

export const metadata = { labels: {}, annotations: {} };

export function related(guid: string | undefined): object {
  return { data: guid === undefined ? null : { guid } };
}

export function uniqueBy<T>(all: (T | undefined)[]): T[] {
  return [...new Set(all.filter((each) => each !== undefined))];
}

import { type Instance, type Plan, type ServiceBroker, type User } from './cloud-controller-world.js';

/** The Cloud Controller's patience with a broker. */
const PATIENCE_MS = 60_000;

export interface BrokerAnswer {
  status: number;
  body: Record<string, unknown>;
}

/** The broker has refused, or has not answered. */
export class BrokerRefusal extends Error {}

/**
 * A call on a broker's Open Service Broker API as the Cloud Controller makes it.
 * @throws BrokerRefusal where the broker does not answer with JSON and a status of 200, 201, 202 or 410.
 */
export async function callBroker(
  broker: ServiceBroker,
  method: string,
  path: string,
  { body, user, query = {} }: { body?: unknown; user?: User; query?: Record<string, string> } = {},
): Promise<BrokerAnswer> {
  const url = new URL(`${broker.url.replace(/\/$/, '')}${path}`);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    headers: {
      authorization: `Basic ${Buffer.from(`${broker.username}:${broker.password}`).toString('base64')}`,
      'x-broker-api-version': '2.15',
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(user && { 'x-broker-api-originating-identity': identityOf(user) }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).catch((error: unknown) => {
    throw new BrokerRefusal(`The service broker could not be reached: ${broker.url}: ${String(error)}`);
  });
  const answered = parsed(await response.text());
  if (answered !== undefined && [200, 201, 202, 410].includes(response.status))
    return { status: response.status, body: answered };
  const said = JSON.stringify(answered?.['description'] ?? answered?.['error'] ?? 'no JSON');
  throw new BrokerRefusal(`Service broker error: ${response.status}: ${said}`);
}

/** How long work that the broker has accepted is asked after; the real one asks once a minute. */
export async function untilDone(broker: ServiceBroker, path: string, query: Record<string, string>): Promise<void> {
  for (;;) {
    const { status, body } = await callBroker(broker, 'GET', `${path}/last_operation`, { query });
    if (status === 410 || body['state'] === 'succeeded') return;
    if (body['state'] === 'failed')
      throw new BrokerRefusal(`Service broker failed: ${String((body['description'] as string | undefined) ?? '')}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

export function planIds(plan: Plan): { service_id: string; plan_id: string } {
  return { service_id: String(plan.offering.catalog['id']), plan_id: String(plan.catalog['id']) };
}

export function contextOf({ space, name }: Instance): object {
  return {
    platform: 'cloudfoundry',
    organization_guid: space.organization.guid,
    organization_name: space.organization.name,
    space_guid: space.guid,
    space_name: space.name,
    instance_name: name,
    organization_annotations: {},
    space_annotations: {},
    instance_annotations: {},
  };
}

function identityOf({ guid }: User): string {
  return `cloudfoundry ${Buffer.from(JSON.stringify({ user_id: guid })).toString('base64')}`;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

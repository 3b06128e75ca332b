import { randomBytes, randomUUID } from 'node:crypto';

/** What somebody may do in a space, as the Cloud Controller names it. */
export type Role = 'space_developer' | 'space_manager' | 'space_auditor';

export interface User {
  readonly guid: string;
  readonly name: string;
  readonly password: string;
  /** Roles by the guid of the space. */
  readonly roles: Map<string, Role>;
  /** `cloud_controller.admin` in its tokens. */
  readonly admin: boolean;
}

export interface Named {
  readonly guid: string;
  name: string;
}

export interface Space extends Named {
  readonly organization: Named;
}

export interface ServiceBroker extends Named {
  url: string;
  username: string;
  password: string;
}

export interface Offering extends Named {
  readonly broker: ServiceBroker;
  /** Its entry in the broker's catalog. */
  catalog: Record<string, unknown>;
}

export interface Plan extends Named {
  readonly offering: Offering;
  catalog: Record<string, unknown>;
  visibility: { type: string; organizations?: { guid: string }[] };
}

export interface LastOperation {
  type: 'create' | 'update' | 'delete';
  state: 'initial' | 'in progress' | 'succeeded' | 'failed';
  description: string;
  at: string;
}

export interface Instance extends Named {
  readonly space: Space;
  /** Absent on one that a test has entered without a broker. */
  plan: Plan | undefined;
  parameters: Record<string, unknown>;
  tags: string[];
  dashboardUrl: string | undefined;
  lastOperation: LastOperation;
}

export interface CredentialBinding extends Named {
  readonly type: 'app' | 'key';
  readonly instance: Instance;
  credentials: Record<string, unknown>;
  lastOperation: LastOperation;
}

export interface Job {
  readonly guid: string;
  readonly operation: string;
  state: 'PROCESSING' | 'POLLING' | 'COMPLETE' | 'FAILED';
  errors: { code: number; title: string; detail: string }[];
}

/**
 * What the tests' Cloud Controller knows. Two spaces from the start: `org/space`, where the developer, the manager and
 * the auditor are at home, and `elsewhere/space`, where only the outsider is (as developer).
 */
export class World {
  readonly organizations: Named[] = [];
  readonly spaces: Space[] = [];
  readonly users: Record<'developer' | 'manager' | 'auditor' | 'outsider' | 'admin', User>;
  /** A client that logs in by itself, with an admin's authorities. */
  readonly client = { id: 'broker-registrar', secret: draw() };
  readonly brokers: ServiceBroker[] = [];
  readonly offerings: Offering[] = [];
  readonly plans: Plan[] = [];
  readonly instances: Instance[] = [];
  readonly bindings: CredentialBinding[] = [];
  readonly jobs: Job[] = [];
  readonly space: Space;
  readonly elsewhere: Space;

  constructor() {
    this.space = this.addSpace('org', 'space');
    this.elsewhere = this.addSpace('elsewhere', 'space');
    const user = (name: string, space?: Space, role?: Role): User => ({
      guid: randomUUID(),
      name,
      password: draw(),
      roles: new Map(space && role ? [[space.guid, role]] : []),
      admin: name === 'admin',
    });
    this.users = {
      developer: user('developer', this.space, 'space_developer'),
      manager: user('manager', this.space, 'space_manager'),
      auditor: user('auditor', this.space, 'space_auditor'),
      outsider: user('outsider', this.elsewhere, 'space_developer'),
      admin: user('admin'),
    };
  }

  addSpace(organization: string, name: string): Space {
    let org = this.organizations.find((each) => each.name === organization);
    if (org === undefined) this.organizations.push((org = { guid: randomUUID(), name: organization }));
    const space = { guid: randomUUID(), name, organization: org };
    this.spaces.push(space);
    return space;
  }

  /** Enters an instance as if it had been created, without asking a broker. */
  addInstance(
    guid: string = randomUUID(),
    { name = `db-${guid.slice(0, 8)}`, space = this.space, plan }: { name?: string; space?: Space; plan?: Plan } = {},
  ): Instance {
    const instance: Instance = {
      guid,
      name,
      space,
      plan,
      parameters: {},
      tags: [],
      dashboardUrl: undefined,
      lastOperation: operation('create', 'succeeded'),
    };
    this.instances.push(instance);
    return instance;
  }

  grant(user: User, role: Role, space: Space = this.space): void {
    user.roles.set(space.guid, role);
  }

  withdraw(user: User, space: Space = this.space): void {
    user.roles.delete(space.guid);
  }

  mayRead(user: User, space: Space): boolean {
    return user.admin || user.roles.has(space.guid);
  }

  mayWrite(user: User, space: Space): boolean {
    return user.admin || user.roles.get(space.guid) === 'space_developer';
  }
}

export function operation(type: LastOperation['type'], state: LastOperation['state'], description = ''): LastOperation {
  return { type, state, description, at: new Date().toISOString() };
}

export function removeFrom<T>(all: T[], one: T): void {
  const index = all.indexOf(one);
  if (index >= 0) all.splice(index, 1);
}

function draw(): string {
  return randomBytes(12).toString('hex');
}

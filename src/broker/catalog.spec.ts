import { catalogSchema } from '../config/catalog.js';
import { type BrokerConfig } from '../config/schema.js';
import { planUpdateable, ServiceCatalog } from './catalog.js';

const services = [
  {
    id: 's',
    name: 'pg',
    description: 'databases',
    bindable: true,
    plan_updateable: true,
    metadata: { displayName: 'PG' },
    plans: [
      {
        id: 'p1',
        name: 'one',
        description: 'first',
        maintenance_info: { version: '1.2.3' },
        limits: { connections: 5, statement_timeout: '2s' },
        binding_max_age: '30d',
      },
      { id: 'p2', name: 'two', description: 'second', plan_updateable: false, free: false },
    ],
  },
];

function catalogOf(externalUrl?: string): ServiceCatalog {
  const http = externalUrl === undefined ? {} : { external_url: externalUrl };
  return new ServiceCatalog({ http, catalog: catalogSchema.parse({ services }) } as unknown as BrokerConfig);
}

describe('the catalog', () => {
  it("shows limits as plan metadata, and keeps the broker's own properties to itself", () => {
    const [service] = catalogOf().document.services;
    expect(service).toMatchObject({
      metadata: { displayName: 'PG' },
      plans: [
        { id: 'p1', free: true, binding_rotatable: true, metadata: { connections: 5, statement_timeout_ms: 2000 } },
        { id: 'p2', free: false, metadata: {} },
      ],
    });
    expect(JSON.stringify(service)).not.toMatch(/"(limits|backup|binding_max_age|backupApi)"/);
  });

  it('says where the backup API is when it is known', () => {
    const [service] = catalogOf('https://broker.example.org').document.services;
    expect(service).toMatchObject({
      metadata: { displayName: 'PG', backupApi: { url: 'https://broker.example.org', version: '1.0' } },
    });
  });

  it('has an entity tag that changes with it', () => {
    expect(catalogOf().etag).toBe(catalogOf().etag);
    expect(catalogOf().etag).not.toBe(catalogOf('https://broker.example.org').etag);
  });

  it('names what it does not know, and what there is', () => {
    expect(() => catalogOf().get('x', 'p1')).toThrow(/service_id: unknown, expected one of s/);
    expect(() => catalogOf().get('s', 'x')).toThrow(/plan_id: unknown in this service, expected one of p1, p2/);
    expect(catalogOf().find('s', 'x')).toBeUndefined();
  });

  it("lets a plan's own word on updates go before its service's", () => {
    expect(planUpdateable(catalogOf().get('s', 'p1'))).toBe(true);
    expect(planUpdateable(catalogOf().get('s', 'p2'))).toBe(false);
  });
});

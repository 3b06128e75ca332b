import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { PROJECT } from '../../embedded/project.mjs';

const text = readFileSync(join(PROJECT, 'docker-compose.yml'), 'utf8');

interface Service {
  image: string;
  ports?: string[];
  healthcheck?: object;
  depends_on?: Record<string, { condition: string }>;
}

const { services } = parse(text) as { services: Record<string, Service> };

/** That it is of the compose specification, Docker Compose says itself (`npm run test:image`). */
describe('docker-compose.yml', () => {
  it('holds no password, only variables that must be set', () => {
    const secrets = [...text.matchAll(/\$\{(\w*(?:PASSWORD|KEY))\b(:?.)/g)].map(([, name, mark]) => [name, mark]);
    expect(secrets.length).toBeGreaterThanOrEqual(9);
    expect(secrets.filter(([, mark]) => mark !== ':?')).toEqual([]);
    expect(text).not.toMatch(/(password|secret)\w*: *(?!["']?\$\{|\?)[^ ]/i);
  });

  it('has every image of one version, what is waited for healthy, and listens on this machine alone', () => {
    for (const { image } of Object.values(services)) expect(image).toMatch(/^postgresql-broker$|:[v\d$]/);
    for (const { depends_on: needed = {} } of Object.values(services))
      for (const [name, { condition }] of Object.entries(needed)) {
        expect(condition).toBe('service_healthy');
        expect(services[name]?.healthcheck).toBeDefined();
      }
    const ports = Object.values(services).flatMap(({ ports: own = [] }) => own);
    expect(ports).toHaveLength(2);
    for (const port of ports) expect(port).toMatch(/^\$\{\w+_HOST:-127\.0\.0\.1\}:/);
  });
});

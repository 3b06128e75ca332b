import { type FastifyContextConfig, type FastifyInstance } from 'fastify';
import { requestPath } from './request-path.js';

/** Which methods each known path takes: a known path with another method is 405, not 404. */
export class KnownRoutes {
  readonly #routes: { segments: string[]; methods: string[]; settings: FastifyContextConfig }[] = [];

  watch(fastify: FastifyInstance): void {
    fastify.addHook('onRoute', ({ method, url, config = {} }) => {
      this.#routes.push({ segments: url.split('/'), methods: [method].flat(), settings: config });
    });
  }

  /** Of the route that is written so, with its parameters as `:name`. */
  settingsOf(method: string, url: string): FastifyContextConfig | undefined {
    const route = this.#routes.find(({ segments, methods }) => methods.includes(method) && segments.join('/') === url);
    return route?.settings;
  }

  /** Sorted and unique; empty for an unknown path. */
  methodsOf(url: string): string[] {
    const given = requestPath(url).split('/');
    const fitting = this.#routes.filter(({ segments }) => fits(segments, given));
    return [...new Set(fitting.flatMap(({ methods }) => methods))].sort();
  }
}

function fits(segments: string[], given: string[]): boolean {
  return (
    segments.length === given.length &&
    segments.every((segment, index) => (segment.startsWith(':') ? given[index] !== '' : segment === given[index]))
  );
}

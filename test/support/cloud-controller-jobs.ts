import { randomUUID } from 'node:crypto';
import { type FastifyInstance } from 'fastify';
import { notFound } from './cloud-controller-answers.js';
import { type Job, type World } from './cloud-controller-world.js';

/** How long an answer waits for its job, so that cf seldom has to ask again. */
const WAIT_MS = 1_000;

/** Jobs: work that goes on after the 202. */
export class Jobs {
  /** Of jobs that have not ended. */
  readonly #running = new Set<Promise<void>>();

  constructor(
    private readonly world: World,
    private readonly base: () => string,
  ) {}

  /** Begins work; what it throws becomes the job's error. */
  async begin(operation: string, work: (job: Job) => Promise<void>): Promise<Job> {
    const job: Job = { guid: randomUUID(), operation, state: 'PROCESSING', errors: [] };
    this.world.jobs.push(job);
    const running = work(job).then(
      () => void (job.state = 'COMPLETE'),
      (error: unknown) => {
        job.state = 'FAILED';
        job.errors = [{ code: 10001, title: 'CF-ServiceBrokerError', detail: (error as Error).message }];
      },
    );
    this.#running.add(running);
    void running.then(() => this.#running.delete(running));
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([running, new Promise((resolve) => (timer = setTimeout(resolve, WAIT_MS)))]);
    clearTimeout(timer);
    return job;
  }

  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }

  routes(server: FastifyInstance): void {
    server.get<{ Params: { guid: string } }>('/v3/jobs/:guid', ({ params }) => {
      const job = this.world.jobs.find(({ guid }) => guid === params.guid);
      if (job === undefined) throw notFound('Job');
      return { ...job, warnings: [], links: { self: { href: `${this.base()}/v3/jobs/${job.guid}` } } };
    });
  }
}

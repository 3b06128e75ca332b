import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { randomBytes } from 'node:crypto';
import { DataSource } from 'typeorm';
import { BrokerConfigModule } from '../../src/config/config.module.js';
import { configSchema } from '../../src/config/schema.js';
import { ServiceBinding } from '../../src/instances/service-binding.entity.js';
import { ServiceInstance } from '../../src/instances/service-instance.entity.js';
import { type OperationContext, type OperationHandler } from '../../src/operations/operation-handler.js';
import { type OperationMemo } from '../../src/operations/operation.entity.js';
import { OperationsModule } from '../../src/operations/operations.module.js';
import { OperationsService } from '../../src/operations/operations.service.js';
import { StateDatabase } from '../../src/state/state-database.js';
import { StateModule } from '../../src/state/state.module.js';

export interface NodeOptions {
  stateUrl: string;
  /** PEM text or a file's path. */
  stateCa?: string;
  /** A node of its own by default. */
  node?: string;
  operations?: Record<string, unknown>;
  handlers?: OperationHandler[];
}

/** State and operations of one broker, without the rest of it. */
export interface OperationsNode {
  readonly runner: string;
  readonly operations: OperationsService;
  readonly state: StateDatabase;
  readonly dataSource: DataSource;
  /** As a broker shuts down. */
  stop(): Promise<void>;
}

export async function buildNode(options: NodeOptions): Promise<OperationsNode> {
  const password = randomBytes(12).toString('hex');
  const config = configSchema.parse({
    platform: { credentials: [{ password }] },
    admin: { credentials: [{ password }] },
    state: {
      url: options.stateUrl,
      ...(options.stateCa !== undefined && { ca: options.stateCa }),
      encryption_keys: [{ id: 'test', secret: randomBytes(32).toString('base64') }],
    },
    servers: [{ name: 'none', url: 'postgres://nobody@localhost/nothing' }],
    operations: { grace: '1s', ...options.operations },
  });
  const node = options.node ?? randomBytes(6).toString('hex');
  const process = randomBytes(6).toString('hex');
  const runner = `${node}/${process}`;
  @Module({
    imports: [
      BrokerConfigModule.for(config, { node, process, runner }),
      StateModule,
      TypeOrmModule.forFeature([ServiceInstance, ServiceBinding]),
      OperationsModule,
    ],
  })
  class NodeModule {}
  const context = await NestFactory.createApplicationContext(NodeModule, {
    logger: false,
    abortOnError: false,
  });
  const operations = context.get(OperationsService);
  const state = context.get(StateDatabase);
  for (const handler of options.handlers ?? []) operations.handle(handler);
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    await operations.stop();
    await state.close();
    await context.close();
  };
  return { runner, operations, state, dataSource: context.get(DataSource), stop: () => (stopped ??= stop()) };
}

/** A node that works. */
export async function startNode(options: NodeOptions): Promise<OperationsNode> {
  const node = await buildNode(options);
  await node.state.connect(AbortSignal.timeout(30_000));
  await node.operations.start();
  return node;
}

/** A handler's part that waits until the test lets it go on, or until its signal aborts. */
export function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const pass = ({ signal }: OperationContext) =>
    Promise.race([
      opened,
      new Promise<void>((_, reject) => {
        if (signal.aborted) reject(signal.reason as Error);
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
    ]);
  return { open, pass };
}

/** What the handler of an operation has remembered. */
export async function memoOf({ dataSource }: OperationsNode, id: string): Promise<OperationMemo> {
  const [row] = await dataSource.query<{ memo: OperationMemo }[]>('SELECT memo FROM operation WHERE id = $1', [id]);
  return row?.memo ?? {};
}

import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { type BrokerIdentity } from './config/identity.js';
import { type BrokerConfig } from './config/schema.js';
import { Lifecycle } from './http/lifecycle.js';

export interface BrokerApp {
  app: NestFastifyApplication;
  /** Listens and resolves with the URL; answers 503 `starting` until `ready`. */
  listen(): Promise<string>;
  /** Resolves when the state database is connected and migrated, and operations and broker have started. */
  ready: Promise<void>;
  /** Ends cleanly: no new work, running requests drain, operations are handed over, pools are closed. */
  close(): Promise<void>;
}

export async function createApp(config: BrokerConfig, identity: BrokerIdentity): Promise<BrokerApp> {
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.for(config, identity),
    new FastifyAdapter({ routerOptions: { maxParamLength: 4096 } }),
    { bodyParser: false, abortOnError: false },
  );
  const lifecycle = app.get(Lifecycle);
  return {
    app,
    async listen() {
      await app.listen(config.http.port, config.http.host);
      lifecycle.markReady();
      return await app.getUrl();
    },
    ready: Promise.resolve(),
    close: () => app.close(),
  };
}

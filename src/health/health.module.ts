import { Module } from '@nestjs/common';
import { PostgresModule } from '../postgres/postgres.module.js';
import { HealthController } from './health.controller.js';

@Module({ imports: [PostgresModule], controllers: [HealthController] })
export class HealthModule {}

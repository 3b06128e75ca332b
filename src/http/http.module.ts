import { Global, Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { Lifecycle } from './lifecycle.js';
import { ApiDescription, OpenApiController } from './openapi.controller.js';

@Global()
@Module({
  imports: [AuthModule],
  controllers: [OpenApiController],
  providers: [Lifecycle, ApiDescription],
  exports: [Lifecycle],
})
export class HttpModule {}

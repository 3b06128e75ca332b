import { Global, Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import { Lifecycle } from './lifecycle.js';

@Global()
@Module({ imports: [AuthModule], providers: [Lifecycle], exports: [Lifecycle] })
export class HttpModule {}

import { Module } from '@nestjs/common';
import { Authenticator } from './authenticator.js';

@Module({ providers: [Authenticator], exports: [Authenticator] })
export class AuthModule {}

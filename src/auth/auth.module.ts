import { Module } from '@nestjs/common';
import { Authenticator } from './authenticator.js';
import { Callers } from './callers.js';
import { ControllerClient } from './controller-client.js';
import { InstancePermissions } from './instance-permissions.js';
import { TokenIssuer } from './token-issuer.js';
import { UserTokens } from './user-tokens.js';

@Module({
  providers: [Authenticator, Callers, ControllerClient, InstancePermissions, TokenIssuer, UserTokens],
  exports: [Callers],
})
export class AuthModule {}

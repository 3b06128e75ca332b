import { ApiProperty, ApiPropertyOptional } from '../http/api-docs.js';

const anyObject = { type: 'object', additionalProperties: true } as const;

export class EmptyAnswer {}

export class CatalogAnswer {
  @ApiProperty({ type: 'array', items: anyObject, description: 'Service offerings (OSB 2.17, Catalog Management)' })
  services: Record<string, unknown>[];
}

/** 202: poll last_operation with this operation. */
export class AcceptedAnswer {
  @ApiPropertyOptional({ example: '0196f0a1-6a2b-7c3d-8e4f-5a6b7c8d9e0f' })
  operation?: string;
}

export class MaintenanceInfoAnswer {
  @ApiProperty({ example: '1.0.0' })
  version: string;
}

export class InstanceAnswer {
  @ApiProperty()
  service_id: string;

  @ApiProperty()
  plan_id: string;

  @ApiProperty({ ...anyObject, example: { extensions: ['citext'] } })
  parameters: Record<string, unknown>;

  @ApiPropertyOptional({ type: MaintenanceInfoAnswer })
  maintenance_info?: MaintenanceInfoAnswer;
}

export class LastOperationAnswer {
  @ApiProperty({ enum: ['in progress', 'succeeded', 'failed'] })
  state: 'in progress' | 'succeeded' | 'failed';

  @ApiPropertyOptional({ description: 'The step that runs, or why it failed' })
  description?: string;

  @ApiPropertyOptional({ description: 'After a failed update or deprovision: whether the instance works' })
  instance_usable?: boolean;

  @ApiPropertyOptional({ description: 'After a failed update: whether it may be tried again' })
  update_repeatable?: boolean;
}

export class CredentialsAnswer {
  @ApiProperty({ example: 'postgresql://b1:secret@db.example.org:5432/d1?sslmode=verify-full' })
  uri: string;
  @ApiProperty({ example: 'jdbc:postgresql://db.example.org:5432/d1?user=b1&password=secret&sslmode=verify-full' })
  jdbcUrl: string;
  @ApiProperty()
  hostname: string;
  @ApiProperty()
  host: string;
  @ApiProperty({ example: 5432 })
  port: number;
  @ApiProperty()
  name: string;
  @ApiProperty()
  database: string;
  @ApiProperty()
  dbname: string;
  @ApiProperty()
  username: string;
  @ApiProperty()
  password: string;
  @ApiProperty({ example: 'verify-full' })
  sslmode: string;
  @ApiPropertyOptional({ description: 'PEM text of the certificate authority' })
  sslrootcert?: string;
}

export class EndpointAnswer {
  @ApiProperty()
  host: string;
  @ApiProperty({ type: [String], example: ['5432'] })
  ports: string[];
  @ApiProperty({ enum: ['tcp'] })
  protocol: 'tcp';
}

export class BindingMetadataAnswer {
  @ApiProperty({ format: 'date-time' })
  expires_at: string;

  @ApiPropertyOptional({ format: 'date-time' })
  renew_before?: string;
}

export class BindingAnswer {
  @ApiPropertyOptional({ type: BindingMetadataAnswer, description: 'Where the plan lets bindings expire' })
  metadata?: BindingMetadataAnswer;

  @ApiProperty({ type: CredentialsAnswer })
  credentials: CredentialsAnswer;

  @ApiProperty({ type: [EndpointAnswer] })
  endpoints: EndpointAnswer[];
}

export class RetrievedBindingAnswer extends BindingAnswer {
  @ApiProperty({ ...anyObject, example: { access: 'read-write' } })
  parameters: Record<string, unknown>;
}

export class ErrorAnswer {
  @ApiPropertyOptional({
    example: 'ConcurrencyError',
    description: 'One of the words of OSB 2.17, Service Broker Errors',
  })
  error?: string;

  @ApiProperty({ example: 'another operation on this service instance is in progress' })
  description: string;
}

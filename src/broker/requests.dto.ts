import { ApiProperty, ApiPropertyOptional } from '../http/api-docs.js';
import { Type } from 'class-transformer';
import { IsIn, IsNotEmpty, IsObject, IsOptional, IsString, MaxLength, ValidateNested } from 'class-validator';

const anyObject = { type: 'object', additionalProperties: true } as const;
const aText = { message: 'expected a text that is not empty' };
const anObject = { message: 'expected an object' };

export class MaintenanceInfo {
  @ApiProperty({ example: '1.0.0', description: 'The version that the catalog shows for the plan' })
  @IsString(aText)
  @IsNotEmpty(aText)
  version: string;
}

export class ProvisionRequest {
  @ApiProperty({ example: '6b2f1f0e-5d3c-4c55-9a53-4f6f0c1a7e01' })
  @IsString(aText)
  @IsNotEmpty(aText)
  service_id: string;

  @ApiProperty({ example: '0c5e7c56-2b0d-4b8e-8d4b-0b8b3f5f6a11' })
  @IsString(aText)
  @IsNotEmpty(aText)
  plan_id: string;

  @ApiProperty({ example: 'organization-guid' })
  @IsString(aText)
  @IsNotEmpty(aText)
  organization_guid: string;

  @ApiProperty({ example: 'space-guid' })
  @IsString(aText)
  @IsNotEmpty(aText)
  space_guid: string;

  @ApiPropertyOptional({ ...anyObject, description: 'Where the platform puts it; stored, not compared' })
  @IsOptional()
  @IsObject(anObject)
  context?: Record<string, unknown> | null;

  @ApiPropertyOptional({ ...anyObject, example: { extensions: ['citext'] }, description: "By the plan's schema" })
  @IsOptional()
  @IsObject(anObject)
  parameters?: Record<string, unknown> | null;

  @ApiPropertyOptional({ type: MaintenanceInfo })
  @IsOptional()
  @IsObject(anObject)
  @ValidateNested()
  @Type(() => MaintenanceInfo)
  maintenance_info?: MaintenanceInfo | null;
}

export class UpdateRequest {
  @ApiProperty({ example: '6b2f1f0e-5d3c-4c55-9a53-4f6f0c1a7e01' })
  @IsString(aText)
  @IsNotEmpty(aText)
  service_id: string;

  @ApiPropertyOptional({ description: 'Absent: the plan stays', example: '5a4d8f3e-7e0f-4d5c-9a8e-3a6f1f6b2c22' })
  @IsOptional()
  @IsString(aText)
  @IsNotEmpty(aText)
  plan_id?: string | null;

  @ApiPropertyOptional({ ...anyObject, description: 'The new names of organization, space and instance' })
  @IsOptional()
  @IsObject(anObject)
  context?: Record<string, unknown> | null;

  @ApiPropertyOptional({ ...anyObject, example: { extensions: ['citext', 'hstore'] }, description: 'Absent ones stay' })
  @IsOptional()
  @IsObject(anObject)
  parameters?: Record<string, unknown> | null;

  @ApiPropertyOptional({ ...anyObject, description: 'Taken, and not looked at' })
  @IsOptional()
  @IsObject(anObject)
  previous_values?: Record<string, unknown> | null;

  @ApiPropertyOptional({ type: MaintenanceInfo })
  @IsOptional()
  @IsObject(anObject)
  @ValidateNested()
  @Type(() => MaintenanceInfo)
  maintenance_info?: MaintenanceInfo | null;
}

export class BindRequest {
  @ApiProperty({ example: '6b2f1f0e-5d3c-4c55-9a53-4f6f0c1a7e01' })
  @IsString(aText)
  @IsNotEmpty(aText)
  service_id: string;

  @ApiProperty({ example: '0c5e7c56-2b0d-4b8e-8d4b-0b8b3f5f6a11' })
  @IsString(aText)
  @IsNotEmpty(aText)
  plan_id: string;

  @ApiPropertyOptional({ description: 'Deprecated for bind_resource.app_guid; absent for a service key' })
  @IsOptional()
  @IsString(aText)
  app_guid?: string | null;

  @ApiPropertyOptional({ ...anyObject, example: { app_guid: 'app-guid' } })
  @IsOptional()
  @IsObject(anObject)
  bind_resource?: Record<string, unknown> | null;

  @ApiPropertyOptional(anyObject)
  @IsOptional()
  @IsObject(anObject)
  context?: Record<string, unknown> | null;

  @ApiPropertyOptional({ ...anyObject, example: { access: 'read-only' } })
  @IsOptional()
  @IsObject(anObject)
  parameters?: Record<string, unknown> | null;

  @ApiPropertyOptional({ description: 'The binding that this one replaces; both work until that one is unbound' })
  @IsOptional()
  @IsString(aText)
  @IsNotEmpty(aText)
  @MaxLength(255, { message: 'expected at most 255 characters' })
  predecessor_binding_id?: string | null;
}

export class AsyncQuery {
  @ApiPropertyOptional({ enum: ['true', 'false'], description: 'Whether the platform takes a 202' })
  @IsOptional()
  @IsIn(['true', 'false'], { message: 'expected true or false' })
  accepts_incomplete?: string;
}

export class DeleteQuery extends AsyncQuery {
  @ApiProperty()
  @IsString(aText)
  @IsNotEmpty(aText)
  service_id: string;

  @ApiProperty()
  @IsString(aText)
  @IsNotEmpty(aText)
  plan_id: string;
}

export class LastOperationQuery {
  @ApiPropertyOptional({ description: 'What the 202 gave; absent: the newest operation' })
  @IsOptional()
  @IsString(aText)
  operation?: string;
}

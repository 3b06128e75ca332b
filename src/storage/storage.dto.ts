import { type ErrorCode, STATUS_OF } from '../errors.js';
import { ApiProperty, ApiPropertyOptional } from '../http/api-docs.js';
import { type StorageProvider } from './storage-provider.js';

class StorageErrorDto {
  @ApiProperty({ enum: Object.keys(STATUS_OF) }) code: ErrorCode;
  @ApiProperty({ description: "The storage's own message." }) detail: string;
}

export class StorageDto {
  @ApiProperty() name: string;
  @ApiProperty({ enum: ['local', 's3'] }) type: StorageProvider['type'];
  @ApiPropertyOptional({ description: 'Whether it can be written now; for admins.' }) reachable?: boolean;
  @ApiPropertyOptional({ description: 'Room, where the storage tells it.' }) free_bytes?: number;
  @ApiPropertyOptional({ type: StorageErrorDto }) error?: StorageErrorDto;
}

export class StorageListDto {
  @ApiProperty({ type: [StorageDto] }) storages: StorageDto[];
}

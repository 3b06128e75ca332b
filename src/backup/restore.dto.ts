import { IsIn, IsOptional, IsString, MaxLength, MinLength } from 'class-validator';
import { ApiProperty, ApiPropertyOptional } from '../http/api-docs.js';
import { BackupDto, StorageQuery } from './backup.dto.js';

export class RestoreQuery extends StorageQuery {
  @ApiPropertyOptional({
    description:
      'Id of the service instance whose backup it is, where it is another one; it may have been deleted. Rights that its roles had are left out.',
    maxLength: 255,
  })
  @IsOptional()
  @IsString()
  @MinLength(1, { message: 'expected the id of a service instance' })
  @MaxLength(255, { message: 'expected an id of up to 255 characters' })
  from?: string;

  @ApiPropertyOptional({
    description:
      'Goes on although statements of an archive that was made elsewhere fail; `left_out` names them. Without effect on backups of this instance.',
    enum: ['true', 'false'],
  })
  @IsOptional()
  @IsIn(['true', 'false'], { message: 'expected true or false' })
  accept_errors?: string;
}

export class RestorePointDto {
  @ApiProperty({ format: 'date-time' }) created_at: string;
  @ApiProperty({ format: 'date-time', description: 'Given up earlier where the server needs its room.' })
  expires_at: string;
  @ApiProperty({ type: 'integer' }) database_bytes: number;
}

export class RestoredDto {
  @ApiPropertyOptional({
    type: BackupDto,
    description: 'What was restored; absent of an undo, and where it is of an instance that the caller may not see.',
  })
  backup?: BackupDto;
  @ApiProperty({ type: 'integer', nullable: true, description: 'In all tables; null of an undo.' })
  rows: number | null;
  @ApiProperty({ type: 'integer', nullable: true }) tables: number | null;
  @ApiProperty({
    type: 'integer',
    nullable: true,
    description: 'How long nobody could connect, in ms; null where the broker died meanwhile.',
  })
  outage_ms: number | null;
  @ApiProperty({ type: RestorePointDto, description: 'What was replaced: POST /undo_restore puts it back.' })
  restore_point: RestorePointDto;
  @ApiProperty({ type: [String], description: 'What of the archive is not in the database now, by name.' })
  left_out: string[];
  @ApiProperty({ format: 'uuid' }) operation_id: string;
}

export class RestoreOutlookDto {
  @ApiProperty({ type: 'integer', nullable: true, description: 'Size now of the database that a restore replaces.' })
  database_bytes: number | null;
  @ApiProperty({ type: 'integer', description: 'How long it would be kept, in ms.' }) keep_ms: number;
  @ApiPropertyOptional({
    type: RestorePointDto,
    description: 'What an undo would put back; absent where there is none.',
  })
  restore_point?: RestorePointDto;
}

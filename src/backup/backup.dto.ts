import { IsOptional, IsString, Matches, MaxLength, MinLength } from 'class-validator';
import { type Requester } from '../auth/requester.js';
import { type ErrorCode, STATUS_OF } from '../errors.js';
import { ApiProperty, ApiPropertyOptional } from '../http/api-docs.js';
import { type BackupEntry } from './backup-store.js';
import { type BackupOrigin, type BackupState } from './backup.entity.js';

/** A name that a backup may have. */
export const BACKUP_NAME = /^(?!latest$)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
export const NAME_RULE =
  'expected 1 to 128 letters, digits, dots, _ and -, starting with a letter or a digit, and not "latest"';

export class StorageQuery {
  @ApiPropertyOptional({ description: 'Name of a storage.' })
  @IsOptional()
  @IsString()
  @MinLength(1, { message: 'expected the name of a storage' })
  @MaxLength(63, { message: 'expected the name of a storage' })
  storage?: string;
}

export class MakeBackupQuery extends StorageQuery {
  @ApiPropertyOptional({
    description: 'Default: the UTC time with a short random ending.',
    pattern: BACKUP_NAME.source,
  })
  @IsOptional()
  @IsString()
  @Matches(BACKUP_NAME, { message: NAME_RULE })
  name?: string;
}

/** A backup as the API gives it: snake_case, times in RFC 3339 and UTC, sizes in bytes. */
export class BackupDto {
  @ApiProperty() instance_id: string;
  @ApiProperty({ description: 'Unique within the instance.' }) backup_name: string;
  @ApiProperty({ description: 'Name of the storage that holds it.' }) storage: string;
  @ApiProperty({
    enum: ['available', 'missing', 'damaged'],
    description: '`missing`: it has gone from its storage. `damaged`: it is not what its manifest says.',
  })
  state: BackupState;
  @ApiProperty({ enum: ['backup', 'upload'] }) origin: BackupOrigin;
  @ApiProperty({ format: 'date-time', description: 'Of the snapshot; of an upload when it was stored.' })
  created_at: string;
  @ApiProperty({ type: 'integer', description: 'Of the archive.' }) size_bytes: number;
  @ApiProperty({ description: 'Of the archive, in hexadecimal.', pattern: '^[0-9a-f]{64}$' }) sha256: string;
  @ApiProperty({ type: String, nullable: true }) compression: string | null;
  @ApiProperty({ type: 'integer', nullable: true, description: 'Size of the database; null of an upload.' })
  database_bytes: number | null;
  @ApiProperty({ type: 'integer', nullable: true, description: 'Of all tables; null of an upload.' })
  rows: number | null;
  @ApiProperty({ type: 'integer', nullable: true }) tables: number | null;
  @ApiProperty({ type: String, nullable: true }) server_version: string | null;
  @ApiProperty({ type: String, nullable: true }) dump_version: string | null;
  @ApiProperty({ type: String, nullable: true, description: 'Position in the write-ahead log.' }) lsn: string | null;
  @ApiProperty({ type: 'object', additionalProperties: true, description: 'Who asked for it: realm and user.' })
  requested_by: Requester;
  @ApiProperty({ format: 'uuid', description: 'The operation that made it.' }) operation_id: string;
}

export class BackupWarningDto {
  @ApiProperty({ description: 'Name of the storage that was not looked at.' }) storage: string;
  @ApiProperty({ enum: Object.keys(STATUS_OF) }) code: ErrorCode;
  @ApiProperty() detail: string;
}

export class BackupListDto {
  @ApiProperty({ type: [BackupDto], description: 'Newest first.' }) backups: BackupDto[];
  @ApiProperty({
    type: [BackupWarningDto],
    description: 'Storages that could not be asked: their backups are shown as they were last known.',
  })
  warnings: BackupWarningDto[];
}

export class FoundBackupDto {
  @ApiProperty({ type: String, nullable: true, description: 'Null where it cannot be told.' })
  instance_id: string | null;
  @ApiProperty() backup_name: string;
  @ApiPropertyOptional({ description: 'What is wrong with it.' }) reason?: string;
}

export class RescanDto {
  @ApiProperty({ type: [FoundBackupDto], description: 'Found, and unknown before.' }) added: FoundBackupDto[];
  @ApiProperty({ type: [FoundBackupDto], description: 'Known, and not found.' }) missing: FoundBackupDto[];
  @ApiProperty({
    type: [FoundBackupDto],
    description: 'Manifests that cannot be used, archives that are not as theirs says.',
  })
  damaged: FoundBackupDto[];
  @ApiProperty({ format: 'uuid' }) operation_id: string;
}

export function backupDto(backup: BackupEntry): BackupDto {
  return {
    instance_id: backup.instanceId,
    backup_name: backup.name,
    storage: backup.storage,
    state: backup.state,
    origin: backup.origin,
    created_at: backup.createdAt.toISOString(),
    size_bytes: backup.sizeBytes,
    sha256: backup.sha256,
    compression: backup.compression,
    database_bytes: backup.databaseBytes,
    rows: backup.rows,
    tables: backup.tables,
    server_version: backup.serverVersion,
    dump_version: backup.dumpVersion,
    lsn: backup.lsn,
    requested_by: backup.requestedBy,
    operation_id: backup.operationId,
  };
}

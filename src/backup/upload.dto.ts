import { ApiProperty } from '../http/api-docs.js';
import { BackupDto } from './backup.dto.js';

export class UploadedDto extends BackupDto {
  @ApiProperty({ type: [String], description: 'What of the archive a restore leaves out, by name.' })
  left_out: string[];
}

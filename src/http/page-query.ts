import { Type } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min, MinLength } from 'class-validator';
import { ApiPropertyOptional } from './api-docs.js';

const LIMITS = { message: 'expected a whole number from 1 to 1000' };

/** Of a list that is given page by page, newest first. */
export class PageQuery {
  @ApiPropertyOptional({ description: 'Only what concerns this service instance.', maxLength: 255 })
  @IsOptional()
  @IsString()
  @MinLength(1, { message: 'expected an id that is not empty' })
  @MaxLength(255, { message: 'expected an id of up to 255 characters' })
  instance_id?: string;

  @ApiPropertyOptional({ description: 'Most entries to return.', minimum: 1, maximum: 1000, default: 100 })
  @IsOptional()
  @Type(() => Number)
  @IsInt(LIMITS)
  @Min(1, LIMITS)
  @Max(1000, LIMITS)
  limit?: number;

  @ApiPropertyOptional({ description: 'Go on after this entry: `next` of the page before.', format: 'uuid' })
  @IsOptional()
  @IsString()
  after?: string;
}

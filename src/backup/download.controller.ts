import { Controller, Get, Head, Param, Query, Req, Res } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { Realm } from '../auth/realm.js';
import { UserMay } from '../auth/user-may.js';
import { Change } from '../http/change.js';
import { ApiBasicAuth, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { StorageQuery } from './backup.dto.js';
import { DownloadService } from './download.service.js';

const text = (description: string) => ({ description, schema: { type: 'string' as const } });
const HEADERS = {
  ETag: text('The sha256, quoted; for `If-Range` and `If-None-Match`.'),
  'Repr-Digest': text('`sha-256` of the whole archive (RFC 9530).'),
  'Content-Disposition': text('A file name.'),
  'Accept-Ranges': text('`bytes`'),
  'Last-Modified': text('When the backup was made.'),
};
const PART = { ...HEADERS, 'Content-Range': text('Which bytes these are.') };
const CONTENT = { 'application/octet-stream': { schema: { type: 'string' as const, format: 'binary' } } };

@ApiTags('backups')
@ApiBasicAuth('admin')
@Realm('admin')
@Controller('download_backup/:instance_id/:backup_name')
export class DownloadController {
  constructor(private readonly downloads: DownloadService) {}

  @Head()
  @UserMay('manage', 'path.instance_id')
  @ApiOperation({ summary: 'The headers of a download', operationId: 'describeDownload' })
  @ApiResponse({ status: 200, headers: HEADERS })
  @ApiResponse({ status: 304, description: 'As in `If-None-Match`' })
  @ApiResponse({ status: 400 })
  @ApiResponse({ status: 404 })
  @ApiResponse({ status: 412 })
  @ApiResponse({ status: 422 })
  @ApiResponse({ status: 502 })
  async head(
    @Param('instance_id') instanceId: string,
    @Param('backup_name') name: string,
    @Query() { storage }: StorageQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.#answer({ instanceId, name, storage }, request, reply, true);
  }

  @Get()
  @Change('download')
  @UserMay('manage', 'path.instance_id')
  @ApiOperation({
    summary: 'Download the archive of a backup; `latest` is the newest',
    description:
      "In PostgreSQL's custom format. A whole archive is checked as it passes: where its bytes are not those of the manifest the connection is cut off before the last of them.",
    operationId: 'downloadBackup',
  })
  @ApiHeader({ name: 'Range', required: false, description: 'One range of bytes.' })
  @ApiHeader({ name: 'If-Range', required: false, description: 'Entity tag: the range counts only if it is the same.' })
  @ApiHeader({ name: 'If-Match', required: false })
  @ApiHeader({ name: 'If-None-Match', required: false })
  @ApiResponse({ status: 200, headers: HEADERS, content: CONTENT })
  @ApiResponse({ status: 206, headers: PART, content: CONTENT })
  @ApiResponse({ status: 304, description: 'As in `If-None-Match`' })
  @ApiResponse({ status: 400, description: '`unknown_storage` with the known ones' })
  @ApiResponse({ status: 404, description: '`unknown_backup`, `archive_missing`' })
  @ApiResponse({ status: 412, description: '`precondition_failed`' })
  @ApiResponse({ status: 416, description: '`range_not_satisfiable`' })
  @ApiResponse({ status: 422, description: '`archive_damaged`' })
  @ApiResponse({
    status: 502,
    description: '`storage_unreachable`, `storage_denied`, `storage_missing`, `storage_failed`',
  })
  async get(
    @Param('instance_id') instanceId: string,
    @Param('backup_name') name: string,
    @Query() { storage }: StorageQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.#answer({ instanceId, name, storage }, request, reply, false);
  }

  async #answer(
    of: { instanceId: string; name: string; storage: string | undefined },
    request: FastifyRequest,
    reply: FastifyReply,
    headOnly: boolean,
  ): Promise<void> {
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    const { headers } = request;
    const {
      status,
      headers: answered,
      body,
    } = await this.downloads.open({ ...of, headers, headOnly, signal: gone.signal });
    void reply.status(status).headers(answered).send(body);
  }
}

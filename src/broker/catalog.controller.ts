import { Controller, Get, Headers, Res } from '@nestjs/common';
import { ApiBasicAuth, ApiHeader, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { type FastifyReply } from 'fastify';
import { Realm } from '../auth/realm.js';
import { CatalogAnswer, ErrorAnswer } from './answers.dto.js';
import { ServiceCatalog } from './catalog.js';

@ApiTags('Open Service Broker API')
@ApiBasicAuth('platform')
@ApiHeader({ name: 'X-Broker-API-Version', required: true, example: '2.17' })
@Controller('v2/catalog')
@Realm('platform')
export class CatalogController {
  constructor(private readonly catalog: ServiceCatalog) {}

  @Get()
  @ApiOperation({ summary: 'What services and plans there are' })
  @ApiHeader({ name: 'If-None-Match', required: false })
  @ApiResponse({ status: 200, type: CatalogAnswer })
  @ApiResponse({ status: 304, description: 'The catalog has the entity tag that was given' })
  @ApiResponse({ status: 401, type: ErrorAnswer })
  @ApiResponse({ status: 412, type: ErrorAnswer })
  get(
    @Headers('if-none-match') known: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): CatalogAnswer | undefined {
    // Kept by the platform, and asked for again each time: no-cache, not no-store (RFC 9111, section 5.2.2.4).
    void reply.header('etag', this.catalog.etag).header('cache-control', 'private, no-cache');
    if (known === undefined || !matches(known, this.catalog.etag)) return this.catalog.document;
    void reply.status(304);
    return undefined;
  }
}

/** If-None-Match compares weakly (RFC 9110, section 13.1.2). */
function matches(known: string, etag: string): boolean {
  return known.split(',').some((each) => ['*', etag, `W/${etag}`].includes(each.trim()));
}

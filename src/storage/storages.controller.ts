import { Controller, Get, Logger, Req } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import { Realm } from '../auth/realm.js';
import { UserMay } from '../auth/user-may.js';
import { BrokerError } from '../errors.js';
import { ApiBasicAuth, ApiOperation, ApiResponse, ApiTags } from '../http/api-docs.js';
import { storageError } from './storage-error.js';
import { type StorageProvider } from './storage-provider.js';
import { StorageRegistry } from './storage-registry.js';
import { type StorageDto, StorageListDto } from './storage.dto.js';

/** Milliseconds that one storage may take; the others' answers do not wait for longer. */
const PATIENCE = 10_000;

@ApiTags('storages')
@ApiBasicAuth('admin')
@ApiResponse({ status: 401, description: '`unauthenticated`' })
@Realm('admin')
@Controller('storages')
export class StoragesController {
  readonly #logger = new Logger('Storage');

  constructor(private readonly registry: StorageRegistry) {}

  @Get()
  @UserMay('read')
  @ApiOperation({
    summary: 'List the storages, each with whether it can be written now; to users by name and type only',
    operationId: 'listStorages',
  })
  @ApiResponse({ status: 200, type: StorageListDto })
  async list(@Req() { rights }: Pick<FastifyRequest, 'rights'>): Promise<StorageListDto> {
    if (!rights.all) return { storages: this.registry.all().map(({ name, type }) => ({ name, type })) };
    return { storages: await Promise.all(this.registry.all().map((storage) => this.look(storage))) };
  }

  private async look(storage: StorageProvider): Promise<StorageDto> {
    const { name, type } = storage;
    try {
      const { freeBytes } = await answerOf(storage);
      return { name, type, reachable: true, ...(freeBytes === undefined ? {} : { free_bytes: freeBytes }) };
    } catch (error) {
      if (error instanceof BrokerError)
        return { name, type, reachable: false, error: { code: error.code, detail: error.message } };
      this.#logger.error({ err: error }, `storage ${name} could not be looked at`);
      return { name, type, reachable: false, error: { code: 'internal', detail: 'an unexpected error' } };
    }
  }
}

/** A file system that hangs cannot be called back: the answer does not wait for it. */
async function answerOf(storage: StorageProvider): Promise<{ freeBytes?: number }> {
  const abort = new AbortController();
  const late = storageError('storage_unreachable', storage.name, `no answer within ${PATIENCE / 1000} s`);
  const expiry = new Promise<never>((_, reject) => abort.signal.addEventListener('abort', () => reject(late)));
  const timer = setTimeout(() => abort.abort(late), PATIENCE);
  try {
    return await Promise.race([storage.check(abort.signal), expiry]);
  } finally {
    clearTimeout(timer);
  }
}

import { AsyncLocalStorage } from 'node:async_hooks';

/** What every log line carries of the request or of the operation within which the code runs. */
export interface LogFields {
  request_id: string;
  operation_id?: string;
  kind?: string;
  instance_id?: string;
}

/** A request and an operation have a context each: an operation outlives the request that began it. */
export const logContext = new AsyncLocalStorage<Readonly<LogFields>>();

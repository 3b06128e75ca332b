import { AsyncLocalStorage } from 'node:async_hooks';

/** The request within which code runs, for its id in every log line. */
export const requestContext = new AsyncLocalStorage<{ request_id: string }>();

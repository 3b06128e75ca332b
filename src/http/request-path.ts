/** The path of a request target, without its query; also of the absolute form `http://host/path` (RFC 9112, 3.2.2). */
export function requestPath(target: string): string {
  return target.replace(/^https?:\/\/[^/?#]*/i, '').replace(/[?#].*$/, '');
}

/** Whether the path belongs to the Open Service Broker API. */
export function isPlatformPath(target: string): boolean {
  return /^\/v2(\/|$)/.test(requestPath(target));
}

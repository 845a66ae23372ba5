import { request } from 'undici';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** Limits of one fetch. */
export interface GuardedFetchOptions {
  /** Hosts or CIDR blocks that may be fetched from although they are private. */
  readonly allow: readonly string[];
  /** Most bytes of the body. */
  readonly maxBytes: number;
  /** Bound on the whole fetch, body included, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** An open answer; the caller reads the body to its end or returns its iterator. */
export interface GuardedAnswer {
  readonly body: AsyncIterable<Uint8Array>;
}

/** Fetches a caller-given URL. */
export async function fetchGuarded(url: string, options: GuardedFetchOptions): Promise<GuardedAnswer> {
  const bound = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? bound : AbortSignal.any([options.signal, bound]);
  const { host, hostname } = new URL(url);
  if (!options.allow.includes(hostname)) {
    // Until the address guard stands, only hosts that the operator named are fetched from.
    throw new VideoError(FailureType.ReferenceRejected, `reference_image: ${host} may not be fetched from`, {
      billed: false,
    });
  }
  const response = await request(url, { signal, headers: { 'accept-encoding': 'identity' } });
  if (response.statusCode !== 200) {
    response.body.on('error', () => {}).destroy();
    throw new VideoError(FailureType.ReferenceUnreachable, `reference_image: ${host} answers ${response.statusCode}`, {
      billed: false,
      retryable: response.statusCode >= 500,
    });
  }
  return { body: response.body };
}

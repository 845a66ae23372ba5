import { request } from 'undici';
import { FailureType } from '../contract/failure-type.js';
import { type ErrorContext, VideoError } from '../contract/video-error.js';
import { createAddressPolicy } from './address-policy.js';
import { chunksOf } from './chunks.js';
import { createDispatcher } from './dispatcher.js';
import { AddressRefusedError, guardedConnector, type Lookup } from './guarded-connector.js';
import { headerValue } from './headers.js';
import { LEAST_BYTES, Pace, SlowError } from './pace.js';
import { NO_PROXIES, type Proxies } from './proxies.js';
import { untrustedHint } from './trust.js';

/** Most redirects that are followed; image hosts use one or two. */
const REDIRECTS_MAX = 5;

/** Longest wait for the least that a host sends; at 1 Mbit/s it is 2.5 MB in that time. */
const SLOW_MS = 20_000;

/** Limits of one fetch. */
export interface GuardedFetchOptions {
  /** Hosts, addresses or CIDR blocks that may be fetched from although they are private. */
  readonly allow: readonly string[];
  /** Most bytes of the body. */
  readonly maxBytes: number;
  /** Bound on the whole fetch, redirects and body included, in milliseconds. */
  readonly timeoutMs: number;
  /** Longest wait for the next 16 KiB, in milliseconds; default 20 s. */
  readonly slowMs?: number | undefined;
  /** Ends the fetch with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Default: none. */
  readonly proxies?: Proxies | undefined;
  /** Replaces the system's resolver. */
  readonly lookup?: Lookup | undefined;
}

/** An open answer. Its body is read to the end or its iterator returned; left alone, it is closed by the time limit. */
export interface GuardedAnswer {
  /** Rejects like {@link fetchGuarded} itself. */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * Fetches a URL that a caller gave, without letting it reach anything but public addresses: http(s) only, no user in
 * the URL, every redirect and every resolved address checked and the connection pinned to it, no credential or
 * cookie sent, size and time bounded while streaming.
 *
 * Behind a proxy the name is resolved there, so only the name or the literal address in the URL can be judged here; the
 * proxy's own rules must keep it from private addresses.
 * @throws {@link VideoError} `ReferenceRejected` when the address is refused or the body too large; never worth a
 * retry.
 * @throws {@link VideoError} `ReferenceUnreachable` when the host does not deliver; retryable for 408, 429, 5xx,
 * time-outs and network faults. No message holds a query string.
 */
export async function fetchGuarded(url: string, options: GuardedFetchOptions): Promise<GuardedAnswer> {
  const { maxBytes, timeoutMs, signal, slowMs = SLOW_MS } = options;
  const policy = createAddressPolicy(options.allow);
  const connect = guardedConnector(policy, options.lookup);
  const dispatcher = createDispatcher(options.proxies ?? NO_PROXIES, { connect });
  const bound = new AbortController();
  const end = () => {
    clearTimeout(timer);
    clearTimeout(slow);
    signal?.removeEventListener('abort', abort);
    void dispatcher.destroy().catch(() => {});
  };
  const abort = () => {
    bound.abort(signal?.reason);
    end();
  };
  const timer = setTimeout(() => {
    bound.abort();
    end();
  }, timeoutMs);
  const pace = new Pace(slowMs);
  const sinceMs = performance.now();
  // Until the body begins, redirects included; after that its reader waits for each chunk.
  const slow = setTimeout(() => {
    bound.abort(new SlowError(slowMs));
    end();
  }, slowMs);
  signal?.addEventListener('abort', abort, { once: true });

  let at = 'the URL';
  const failure = (error: unknown): unknown => {
    if (signal?.aborted) return signal.reason;
    if (error instanceof VideoError) return error;
    if (error instanceof SlowError)
      return unreachable(`${at} sends less than ${LEAST_BYTES} bytes in ${slowMs / 1000} s`, true);
    if (bound.signal.aborted) return unreachable(`${at} did not deliver within ${timeoutMs} ms`, true);
    if (error instanceof AddressRefusedError) return refused(at, error.message);
    return unreachable(`${at} cannot be fetched: ${networkFault(error)}`, true, untrustedHint(error));
  };

  try {
    signal?.throwIfAborted();
    let next = url;
    for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
      if (!URL.canParse(next)) throw refused(at, hop === 0 ? 'it is not a URL' : 'it redirects to what is not a URL');
      const target = new URL(next);
      at = nameOf(target);
      const fault = policy.faultOfUrl(target);
      if (fault !== undefined) throw refused(at, fault);
      const response = await request(target, {
        dispatcher,
        signal: bound.signal,
        // A compressed answer would hide its size; images are compressed already.
        headers: { accept: 'image/*', 'accept-encoding': 'identity', 'user-agent': 'wan-video-temporal' },
      });
      const { statusCode, headers, body } = response;
      body.on('error', () => {}); // may come when nobody reads
      const location = headerValue(headers, 'location');
      if (statusCode >= 300 && statusCode < 400 && location !== undefined) {
        body.destroy();
        next = URL.canParse(location, target.href) ? new URL(location, target).href : location;
        continue;
      }
      if (statusCode !== 200) throw badStatus(at, statusCode);
      const encoding = headerValue(headers, 'content-encoding') ?? 'identity';
      if (encoding !== 'identity') throw rejected(`${at} sends its body in the encoding ${encoding.slice(0, 20)}`);
      if (Number(headerValue(headers, 'content-length')) > maxBytes) throw tooLarge(at, maxBytes);
      clearTimeout(slow);
      pace.note(performance.now() - sinceMs, 0);
      return { body: limited(body, { maxBytes, pace, tooLarge: () => tooLarge(at, maxBytes), failure, end }) };
    }
    throw unreachable(`${at} is redirected more than ${REDIRECTS_MAX} times`, false);
  } catch (error) {
    end();
    throw failure(error);
  }
}

interface Limits {
  readonly maxBytes: number;
  readonly pace: Pace;
  readonly tooLarge: () => VideoError;
  readonly failure: (error: unknown) => unknown;
  readonly end: () => void;
}

async function* limited(body: AsyncIterable<Uint8Array>, limits: Limits): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of chunksOf(body, { pace: limits.pace })) {
      bytes += chunk.length;
      if (bytes > limits.maxBytes) throw limits.tooLarge();
      yield chunk;
    }
  } catch (error) {
    throw limits.failure(error);
  } finally {
    limits.end();
  }
}

/** Host and path, cut: query strings are often signatures, and user names secrets. */
function nameOf(url: URL): string {
  const name = `${url.protocol}//${url.host}${url.pathname}`;
  return name.length > 200 ? `${name.slice(0, 199)}…` : name;
}

function networkFault(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : message;
}

function failed(type: FailureType, message: string, context: ErrorContext): VideoError {
  return new VideoError(type, `reference_image: ${message}`, {
    issues: [{ path: 'reference_image', message }],
    billed: false,
    ...context,
  });
}

function rejected(message: string): VideoError {
  return failed(FailureType.ReferenceRejected, message, { nextStep: 'Give another image; nothing was bought.' });
}

function refused(at: string, fault: string): VideoError {
  return failed(FailureType.ReferenceRejected, `${at} is not fetched: ${fault}`, {
    nextStep:
      'Give a public http(s) URL, or stage the file; a private host can be opened in ' +
      'WAN_VIDEO_ALLOW_PRIVATE_URLS of the worker.',
  });
}

function tooLarge(at: string, maxBytes: number): VideoError {
  return rejected(`${at} is larger than ${maxBytes} bytes`);
}

function badStatus(at: string, status: number): VideoError {
  return unreachable(`${at} answers with HTTP ${status}`, status === 408 || status === 429 || status >= 500);
}

function unreachable(
  message: string,
  retryable: boolean,
  nextStep = 'Check that the URL opens without a login, or stage the file.',
): VideoError {
  return failed(FailureType.ReferenceUnreachable, message, {
    retryable,
    nextStep,
  });
}

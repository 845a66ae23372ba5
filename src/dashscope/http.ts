import { type Dispatcher, request } from 'undici';
import { momentOf, type ServerMoment } from '../async/server-clock.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { createDispatcher } from '../net/dispatcher.js';
import { decodeBody } from '../net/encoding.js';
import { headerValue } from '../net/headers.js';
import { NO_PROXIES } from '../net/proxies.js';
import { redactText } from '../net/redact.js';
import { parseRetryAfter } from '../net/retry-after.js';
import { untrustedHint } from '../net/trust.js';
import { AnswerReader } from './answer-reader.js';
import { classifyProviderError, type ProviderOperation } from './errors.js';
import { parseLenientJson } from './lenient-json.js';
import { errorAnswer } from './wire.js';

/** How a request ended: answered, HTTP 429, another 4xx, no whole answer or 5xx, or ended by the caller's signal. */
export type RequestOutcome = 'ok' | 'throttled' | 'refused' | 'failed' | 'aborted';

/** One whole answer of the provider. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  /** Undefined when the body is not JSON. */
  readonly json: unknown;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;
}

export interface SendOptions {
  readonly timeoutMs: number;
  readonly headers: Record<string, string>;
  /** Texts that are removed from everything that is reported about the call. */
  readonly secrets: readonly string[];
  readonly body?: AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

export interface DownloadOptions {
  /** First byte wanted. */
  readonly from: number;
  /** Milliseconds without progress after which the download fails. */
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ProviderHttpOptions {
  /** Default: a direct connection. Never a dispatcher that retries. */
  readonly dispatcher?: Dispatcher | undefined;
  /** For result links, whose hosts the provider names and whose addresses are checked; default: `dispatcher`. */
  readonly resultDispatcher?: Dispatcher | undefined;
  /** Called at the end of every request; must not throw. */
  readonly onRequest?: ((operation: ProviderOperation, outcome: RequestOutcome) => void) | undefined;
  /** Called with the time in each answer; must not throw. */
  readonly onMoment?: ((moment: ServerMoment) => void) | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * Largest answer that is read: 4 MiB; a full page of the task list is some 50 kB, and a message may have a megabyte.
 */
const MAX_ANSWER_BYTES = 4_194_304;

/** The transport below the provider's operations: each request is sent once, follows no redirect and is bounded. */
export class ProviderHttp {
  readonly #options: ProviderHttpOptions;
  #direct: Dispatcher | undefined;

  constructor(options: ProviderHttpOptions) {
    this.#options = options;
  }

  /**
   * Sends one request and reads the whole answer of any status.
   * @throws {@link VideoError} `ProviderUnavailable`, retryable, without a whole answer; `signal.reason` after an
   * abort.
   */
  async call(operation: ProviderOperation, method: 'GET' | 'POST', url: string, options: SendOptions): Promise<Answer> {
    try {
      return await this.send(operation, method, url, options);
    } catch (cause) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw unreachable(operation, describeFault(cause, options.secrets));
    }
  }

  /** Like {@link call}, but rejects with the transport's own error. */
  async send(operation: ProviderOperation, method: 'GET' | 'POST', url: string, options: SendOptions): Promise<Answer> {
    try {
      const answer = await this.#exchange(operation, method, url, options);
      this.#report(operation, answer.status);
      return answer;
    } catch (error) {
      this.#report(operation, undefined, options.signal);
      throw error;
    }
  }

  /** Opens a link without credentials; the caller reads or destroys the answer's body. */
  async download(url: string, { from, idleMs, signal }: DownloadOptions): Promise<Dispatcher.ResponseData> {
    // The client's own timeout begins again with each interim answer.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`no answer within ${idleMs} ms`)), idleMs);
    try {
      const response = await request(url, {
        dispatcher: this.#options.resultDispatcher ?? this.#dispatcher(),
        headersTimeout: idleMs,
        bodyTimeout: idleMs,
        signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]),
        headers: { 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) },
      });
      this.#report('download', response.statusCode);
      return response;
    } catch (cause) {
      this.#report('download', undefined, signal);
      if (signal?.aborted) throw signal.reason;
      throw unreachable('download', describeFault(cause, []));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the connections that this transport opened itself; a dispatcher that was handed in stays open. */
  async close(): Promise<void> {
    await this.#direct?.close();
    this.#direct = undefined;
  }

  #dispatcher(): Dispatcher {
    if (this.#options.dispatcher !== undefined) return this.#options.dispatcher;
    this.#direct ??= createDispatcher(NO_PROXIES);
    return this.#direct;
  }

  /** @param status - Undefined: no whole answer. */
  #report(operation: ProviderOperation, status: number | undefined, signal?: AbortSignal): void {
    const { onRequest } = this.#options;
    if (status === undefined) onRequest?.(operation, signal?.aborted === true ? 'aborted' : 'failed');
    else if (status < 400) onRequest?.(operation, 'ok');
    else if (status === 429) onRequest?.(operation, 'throttled');
    else onRequest?.(operation, status < 500 ? 'refused' : 'failed');
  }

  async #exchange(
    operation: ProviderOperation,
    method: 'GET' | 'POST',
    url: string,
    options: SendOptions,
  ): Promise<Answer> {
    // undici's own timers are coarse; this one is exact and covers the whole call.
    const bound = AbortSignal.timeout(options.timeoutMs);
    const signal = options.signal === undefined ? bound : AbortSignal.any([options.signal, bound]);
    const sentMs = performance.now();
    const response = await request(url, {
      method,
      dispatcher: this.#dispatcher(),
      signal,
      headers: options.headers,
      ...(options.body !== undefined && { body: options.body as unknown as Dispatcher.DispatchOptions['body'] & {} }),
    });
    const moment = momentOf(response.headers, sentMs, performance.now());
    // The address that an upload goes to is another server's.
    if (moment !== undefined && operation !== 'upload') this.#options.onMoment?.(moment);
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += (chunk as Buffer).length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk as Buffer);
    }
    const encoding = headerValue(response.headers, 'content-encoding');
    const body = await decodeBody(Buffer.concat(chunks), encoding, MAX_ANSWER_BYTES);
    // Secrets go before anything is parsed, so that no key that a server echoes gets further.
    const text = options.secrets.reduce((kept, secret) => kept.replaceAll(secret, '[secret]'), body.toString('utf8'));
    const json = parseLenientJson(text);
    const { headers } = response;
    return {
      status: response.statusCode,
      text,
      json,
      requestId:
        new AnswerReader(operation, json).id('request_id') ??
        headerValue(headers, 'x-request-id') ??
        headerValue(headers, 'x-oss-request-id'),
      retryAfterMs: retryAfterOf(headers, this.#options.now()),
    };
  }
}

/** Longest wish that is granted: a limit recovers within a minute, and a result is deleted after 24 hours. */
const RETRY_AFTER_MAX_MS = 300_000;

/** Milliseconds after which a server wants to be asked again; undefined when it does not say so. */
export function retryAfterOf(headers: Dispatcher.ResponseData['headers'], nowMs: number): number | undefined {
  const wishMs = parseRetryAfter(headerValue(headers, 'retry-after'), nowMs);
  return wishMs && Math.min(wishMs, RETRY_AFTER_MAX_MS);
}

/** The typed error of a whole answer that refuses an operation. */
export function refusalError(answer: Answer, operation: ProviderOperation, secrets: readonly string[]): VideoError {
  const { status, text, json, requestId, retryAfterMs } = answer;
  // The object store answers in XML, and briefly.
  const start = text.slice(0, 4_096);
  const xml = (tag: string) => new RegExp(`<${tag}>([^<]{1,300})</${tag}>`).exec(start)?.[1];
  const error = errorAnswer(operation, json);
  const code = error.code ?? xml('Code');
  const message = error.message ?? xml('Message');
  return classifyProviderError(
    { status, code, message: message && redactText(message, secrets), retryAfterMs, requestId },
    operation,
  );
}

/** Name, code and redacted message of a fault; the original may hold sockets, headers and links. */
export function describeFault(cause: unknown, secrets: readonly string[]): Error {
  if (!(cause instanceof Error)) return new Error('the call was aborted');
  const code = (cause as NodeJS.ErrnoException).code;
  const message = cause.message === '' && cause instanceof AggregateError ? String(cause.errors[0]) : cause.message;
  return new Error(
    redactText(typeof code === 'string' && !message.includes(code) ? `${code} ${message}` : message, secrets),
  );
}

function unreachable(operation: ProviderOperation, cause: Error): VideoError {
  return new VideoError(FailureType.ProviderUnavailable, `The ${operation} got no whole answer: ${cause.message}`, {
    retryable: true,
    nextStep:
      untrustedHint(cause) ??
      'Wait; the step is retried. If it persists, check the network and DASHSCOPE_HTTP_BASE_URL.',
    cause,
  });
}

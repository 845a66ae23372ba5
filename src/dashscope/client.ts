import { createHash, randomUUID } from 'node:crypto';
import { Agent, type Dispatcher, request } from 'undici';
import type { z } from 'zod';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { redactText } from '../net/redact.js';
import { parseRetryAfter } from '../net/retry-after.js';
import { untrustedHint } from '../net/trust.js';
import { classifyProviderError, type ProviderOperation } from './errors.js';
import type { CreateTaskRequest } from './request-body.js';
import { decideSubmitOutcome, type SubmitOutcome, stringField } from './submit-outcome.js';
import {
  formatListTime,
  listAnswer,
  policyAnswer,
  type TaskPage,
  type TaskSnapshot,
  taskAnswer,
  type UploadPolicy,
} from './wire.js';

/** Bounds on whole calls, in milliseconds. */
export interface ClientTimeouts {
  readonly submitMs: number;
  /** Query, list and upload policy. */
  readonly readMs: number;
  readonly cancelMs: number;
  readonly uploadMs: number;
  /** Until the headers of a download, and between two of its chunks; its whole length is the caller's. */
  readonly downloadIdleMs: number;
}

export const DEFAULT_TIMEOUTS: ClientTimeouts = {
  submitMs: 20_000, // below the activity's 30 s, so that our own answer comes first
  readMs: 10_000, // the provider answers in some 50 ms
  cancelMs: 10_000,
  uploadMs: 120_000, // 20 MB at 1.5 Mbit/s is 107 s
  downloadIdleMs: 30_000,
};

/** Largest answer we read: 1 MiB; a full page of the task list is some 50 kB. */
const MAX_ANSWER_BYTES = 1_048_576;

export interface DashScopeClientOptions {
  /** With `/api/v1`, with or without a trailing slash. */
  readonly baseUrl: string;
  /** Asked before every call, so that a renewed key is used at once. */
  readonly apiKey: () => Promise<string> | string;
  readonly workspace?: string | undefined;
  /** Default: no proxy. Never a retrying one. */
  readonly dispatcher?: Dispatcher | undefined;
  /** For result links, which the provider names and whose addresses are to be judged; default: as for everything else. */
  readonly resultDispatcher?: Dispatcher | undefined;
  readonly timeouts?: Partial<ClientTimeouts> | undefined;
  /** Told about the end of every submit; must not throw. */
  readonly onSubmit?: ((outcome: SubmitOutcome) => void) | undefined;
  /** Told about the end of every request, submits included; must not throw. */
  readonly onRequest?: ((operation: ProviderOperation, outcome: RequestOutcome) => void) | undefined;
  /** Milliseconds since the epoch; injected so that a test owns the clock. */
  readonly now?: (() => number) | undefined;
}

/** How a request ended: answered, HTTP 429, another 4xx, no whole answer or 5xx, or ended by the caller's signal. */
export type RequestOutcome = 'ok' | 'throttled' | 'refused' | 'failed' | 'aborted';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface CreateTaskOptions extends CallOptions {
  readonly ossResolve?: boolean | undefined;
  readonly mayStillSend?: (() => boolean) | undefined;
}

export interface ListTasksQuery extends CallOptions {
  readonly modelName: string;
  /** Milliseconds since the epoch; the provider allows a span of 24 h at most. */
  readonly startMs?: number | undefined;
  readonly endMs?: number | undefined;
  /** From 1. */
  readonly pageNo: number;
  readonly pageSize: number;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: unknown;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;
}

/**
 * The provider's HTTP interface, one method per call. Nothing is ever sent twice and no redirect is followed.
 * Except where said otherwise every method rejects with a {@link VideoError} (types as in
 * `classifyProviderError`; network faults and time-outs are `ProviderUnavailable`, retryable) or, unchanged, with
 * `signal.reason` once the caller's signal aborts. Messages never carry the key or a URL's query string.
 */
export class DashScopeClient {
  readonly #base: string;
  readonly #options: DashScopeClientOptions;
  readonly #timeouts: ClientTimeouts;
  readonly #now: () => number;
  #direct: Dispatcher | undefined;

  constructor(options: DashScopeClientOptions) {
    this.#options = options;
    this.#base = options.baseUrl.replace(/\/+$/, '');
    this.#timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#now = options.now ?? Date.now;
  }

  /**
   * Buys one generation. Never rejects: every end, a missing key and an abort included, is a {@link SubmitOutcome}.
   * @param options.ossResolve - Must be true when an input is an `oss://` address.
   * @param options.mayStillSend - Asked once more when the connection stands, right before the first byte; `false` ends
   * the submit as `not_sent`.
   */
  async createTask(body: CreateTaskRequest, options: CreateTaskOptions = {}): Promise<SubmitOutcome> {
    const outcome = await this.#submit(body, options);
    this.#options.onSubmit?.(outcome);
    return outcome;
  }

  async #submit(body: CreateTaskRequest, options: CreateTaskOptions): Promise<SubmitOutcome> {
    let key = '';
    try {
      key = await this.#key();
    } catch (cause) {
      return { kind: 'rejected', error: asCredentialError(cause) };
    }
    const bytes = Buffer.from(JSON.stringify(body));
    let bodyPulled = false;
    try {
      const answer = await this.#send('POST', `${this.#base}/services/aigc/video-generation/video-synthesis`, {
        timeoutMs: this.#timeouts.submitMs,
        signal: options.signal,
        secrets: [key],
        headers: {
          ...this.#headers(key),
          'content-type': 'application/json',
          'content-length': String(bytes.length),
          'x-dashscope-async': 'enable',
          ...(options.ossResolve === true && { 'x-dashscope-ossresourceresolve': 'enable' }),
        },
        // Pulled only after the connection stands: never pulled proves that nothing was bought.
        body: (async function* () {
          if (options.mayStillSend?.() === false) throw new Error('its time to begin was over');
          bodyPulled = true;
          yield bytes;
        })(),
      });
      this.#tell('submit', answer.status);
      return decideSubmitOutcome({ bodyPulled, answer });
    } catch (cause) {
      this.#tell('submit', undefined, options.signal);
      const fault = safeCause(cause, [key]);
      return decideSubmitOutcome({ bodyPulled, fault: fault.message, cause: fault });
    }
  }

  /** Tells keys apart without telling them: 16 hex digits that change with the key. Rejects as the key's source does. */
  async keyFingerprint(): Promise<string> {
    const key = await this.#key();
    return createHash('sha256').update(`wan-video key fingerprint\n${key}`).digest('hex').slice(0, 16);
  }

  /**
   * Looks at one task. An id that the provider does not know, or no longer after 24 h, has the status `UNKNOWN`.
   * The account may ask 20 times per second.
   */
  async queryTask(taskId: string, options: CallOptions = {}): Promise<TaskSnapshot> {
    const { value, key, requestId } = await this.#read(
      'query',
      `/tasks/${encodeURIComponent(taskId)}`,
      taskAnswer,
      options,
    );
    const { message } = value;
    return {
      ...value,
      requestId: value.requestId ?? requestId,
      ...(message !== undefined && { message: redactText(message, [key]) }),
    };
  }

  /** One page of the account's tasks of the last 24 h, all keys together. The account may ask 20 times per second. */
  async listTasks(query: ListTasksQuery): Promise<TaskPage> {
    const search = new URLSearchParams({
      model_name: query.modelName,
      page_no: String(query.pageNo),
      page_size: String(query.pageSize),
    });
    if (query.startMs !== undefined) search.set('start_time', formatListTime(query.startMs));
    if (query.endMs !== undefined) search.set('end_time', formatListTime(query.endMs));
    return (await this.#read('list', `/tasks/?${search}`, listAnswer, query)).value;
  }

  /**
   * Asks the provider to cancel a task that has not started yet (a task stays `PENDING` for some 40 ms when a slot is free).
   * @param options.timeoutMs - Bound on the whole call in milliseconds; default 10 000.
   * @returns `true` when the provider accepted, `false` when the task had started or ended. Safe to repeat.
   */
  async cancelTask(
    taskId: string,
    options: CallOptions & { readonly timeoutMs?: number | undefined } = {},
  ): Promise<boolean> {
    const key = await this.#key();
    const answer = await this.#call('cancel', 'POST', `${this.#base}/tasks/${encodeURIComponent(taskId)}/cancel`, {
      timeoutMs: options.timeoutMs ?? this.#timeouts.cancelMs,
      signal: options.signal,
      secrets: [key],
      headers: this.#headers(key),
    });
    // A 200 that is not the provider's JSON came from something in between: it cancelled nothing that we know of.
    if (answer.status === 200 && typeof answer.json === 'object' && answer.json !== null) return true;
    if (stringField(answer.json, 'code') === 'UnsupportedOperation') return false;
    throw refusal(answer, 'cancel', [key]);
  }

  /** Asks for leave to upload one file for `model`; 100 times per second at most, valid for five minutes. */
  async getUploadPolicy(model: string, options: CallOptions = {}): Promise<UploadPolicy> {
    const search = new URLSearchParams({ action: 'getPolicy', model });
    return (await this.#read('policy', `/uploads?${search}`, policyAnswer, options)).value;
  }

  /**
   * Streams one file into the provider's temporary store, where it lives 48 hours.
   * @param fileName - Unique under the policy's directory: nothing there is ever replaced.
   * @param size - Exact length of `body` in bytes.
   * @returns the `oss://` address for `img_url`; the submit then needs `ossResolve`.
   * @throws whatever `body` itself throws, unchanged.
   */
  async uploadFile(
    policy: UploadPolicy,
    fileName: string,
    contentType: string,
    size: number,
    body: AsyncIterable<Uint8Array>,
    options: CallOptions = {},
  ): Promise<string> {
    if (!/^[\w.-]+$/.test(fileName) || !/^[\w.+-]+\/[\w.+-]+$/.test(contentType)) {
      throw new VideoError(
        FailureType.InvalidRequest,
        'The name or type of the uploaded file has forbidden characters',
      );
    }
    const key = `${policy.uploadDir}/${fileName}`;
    const boundary = `----wan-video-${randomUUID()}`;
    const fields = {
      OSSAccessKeyId: policy.accessKeyId,
      Signature: policy.signature,
      policy: policy.policy,
      key,
      'x-oss-object-acl': policy.objectAcl,
      'x-oss-forbid-overwrite': policy.forbidOverwrite,
      success_action_status: '200',
      'x-oss-content-type': contentType,
    };
    const parts = Object.entries(fields).map(
      ([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    );
    const file = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${fileName}"\r\nContent-Type: ${contentType}\r\n\r\n`;
    const head = Buffer.from(parts.join('') + file);
    const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
    let source: { readonly error: unknown } | undefined;
    const secrets = [policy.signature, policy.policy];
    let answer: Answer;
    try {
      answer = await this.#call('upload', 'POST', policy.uploadHost, {
        timeoutMs: this.#timeouts.uploadMs,
        signal: options.signal,
        secrets,
        headers: {
          'content-type': `multipart/form-data; boundary=${boundary}`,
          'content-length': String(head.length + size + tail.length),
        },
        body: (async function* () {
          yield head;
          try {
            yield* body;
          } catch (error) {
            source = { error };
            throw error;
          }
          yield tail;
        })(),
      });
    } catch (error) {
      if (source !== undefined && options.signal?.aborted !== true) throw source.error;
      throw error;
    }
    if (answer.status !== 200) throw refusal(answer, 'upload', secrets);
    return `oss://${key}`;
  }

  /**
   * Opens a result link, without any credential of ours.
   * @param options.from - First byte wanted; the answer is then 206, or 200 with the whole file from a server without ranges.
   * @returns undici's answer with status 200, 206, or 416 when there is nothing from `from` on; the caller reads or destroys `body`.
   * @throws {@link VideoError} `ResultExpired` when the link is out of date.
   */
  async download(
    url: string,
    options: CallOptions & { readonly from?: number | undefined } = {},
  ): Promise<Dispatcher.ResponseData> {
    const { signal, from = 0 } = options;
    const idleMs = this.#timeouts.downloadIdleMs;
    let response: Dispatcher.ResponseData;
    try {
      response = await request(url, {
        dispatcher: this.#options.resultDispatcher ?? this.#dispatcher(),
        headersTimeout: idleMs,
        bodyTimeout: idleMs,
        ...(signal !== undefined && { signal }),
        headers: from > 0 ? { range: `bytes=${from}-` } : {},
      });
    } catch (cause) {
      this.#tell('download', undefined, signal);
      if (signal?.aborted) throw signal.reason;
      throw unreachable('download', safeCause(cause, []));
    }
    this.#tell('download', response.statusCode);
    // 416 is for the caller: what it has already may be the whole file, or of another one.
    if ([200, 206, 416].includes(response.statusCode)) return response;
    response.body.on('error', () => {}).destroy();
    const retryAfterMs = parseRetryAfter(headerOf(response.headers, 'retry-after'), this.#now());
    throw classifyProviderError({ status: response.statusCode, retryAfterMs }, 'download');
  }

  /** Closes the connections this client opened itself; a dispatcher that was handed in stays open. */
  async close(): Promise<void> {
    await this.#direct?.close();
    this.#direct = undefined;
  }

  async #key(): Promise<string> {
    const key = await this.#options.apiKey();
    // A line break would make the header unsendable, and a retry would not mend it.
    if (/^[\x21-\x7e]+$/.test(key)) return key;
    throw new VideoError(
      FailureType.CredentialsRejected,
      'The API key is empty or has characters that no header can carry',
      {
        nextStep: 'Write the key without spaces or line breaks.',
      },
    );
  }

  #headers(key: string): Record<string, string> {
    const { workspace } = this.#options;
    return {
      authorization: `Bearer ${key}`,
      accept: 'application/json; charset=utf-8',
      ...(workspace !== undefined && { 'x-dashscope-workspace': workspace }),
    };
  }

  #dispatcher(): Dispatcher {
    if (this.#options.dispatcher !== undefined) return this.#options.dispatcher;
    this.#direct ??= new Agent();
    return this.#direct;
  }

  async #read<T>(operation: ProviderOperation, path: string, schema: z.ZodType<T>, { signal }: CallOptions) {
    const key = await this.#key();
    const answer = await this.#call(operation, 'GET', `${this.#base}${path}`, {
      timeoutMs: this.#timeouts.readMs,
      signal,
      secrets: [key],
      headers: this.#headers(key),
    });
    if (answer.status !== 200) throw refusal(answer, operation, [key]);
    const parsed = schema.safeParse(answer.json);
    if (parsed.success) return { value: parsed.data, key, requestId: answer.requestId };
    const fields = parsed.error.issues.map((issue) => issue.path.join('.') || 'answer').join(', ');
    throw new VideoError(
      FailureType.ProviderUnavailable,
      `The answer to the ${operation} is not as documented: ${fields}`,
      {
        retryable: true,
        requestId: answer.requestId,
        nextStep: 'Wait; the step is tried again. If it stays, the provider has changed its interface.',
      },
    );
  }

  /** `#send`, with faults named. */
  async #call(
    operation: ProviderOperation,
    method: 'GET' | 'POST',
    url: string,
    options: SendOptions,
  ): Promise<Answer> {
    try {
      const answer = await this.#send(method, url, options);
      this.#tell(operation, answer.status);
      return answer;
    } catch (cause) {
      this.#tell(operation, undefined, options.signal);
      if (options.signal?.aborted) throw options.signal.reason;
      throw unreachable(operation, safeCause(cause, options.secrets));
    }
  }

  /** @param status - undefined: no whole answer. */
  #tell(operation: ProviderOperation, status: number | undefined, signal?: AbortSignal): void {
    const { onRequest } = this.#options;
    if (status === undefined) onRequest?.(operation, signal?.aborted === true ? 'aborted' : 'failed');
    else if (status < 400) onRequest?.(operation, 'ok');
    else if (status === 429) onRequest?.(operation, 'throttled');
    else onRequest?.(operation, status < 500 ? 'refused' : 'failed');
  }

  async #send(method: 'GET' | 'POST', url: string, options: SendOptions): Promise<Answer> {
    // undici's own timers are coarse; this one is exact and covers the whole call.
    const bound = AbortSignal.timeout(options.timeoutMs);
    const signal = options.signal === undefined ? bound : AbortSignal.any([options.signal, bound]);
    const response = await request(url, {
      method,
      dispatcher: this.#dispatcher(),
      signal,
      headers: options.headers,
      ...(options.body !== undefined && { body: options.body as unknown as Dispatcher.DispatchOptions['body'] & {} }),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += (chunk as Buffer).length;
      if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk as Buffer);
    }
    const text = Buffer.concat(chunks).toString('utf8');
    const json = parseJson(text);
    return {
      status: response.statusCode,
      text,
      // Errors are redacted here, once, so that no key echoed by the provider gets further.
      json: response.statusCode >= 400 ? redactJson(json, options.secrets) : json,
      requestId:
        stringField(json, 'request_id') ??
        headerOf(response.headers, 'x-request-id') ??
        headerOf(response.headers, 'x-oss-request-id'),
      retryAfterMs: parseRetryAfter(headerOf(response.headers, 'retry-after'), this.#now()),
    };
  }
}

interface SendOptions extends CallOptions {
  readonly timeoutMs: number;
  readonly headers: Record<string, string>;
  /** Blanked in everything that is said about the call. */
  readonly secrets: readonly string[];
  readonly body?: AsyncIterable<Uint8Array>;
}

function headerOf(headers: Record<string, string | string[] | undefined>, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function redactJson(json: unknown, secrets: readonly string[]): unknown {
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => [name, typeof value === 'string' ? redactText(value, secrets) : value]),
  );
}

function refusal(answer: Answer, operation: ProviderOperation, secrets: readonly string[]): VideoError {
  const { status, text, json, requestId, retryAfterMs } = answer;
  // The object store answers in XML.
  const xml = (tag: string) => new RegExp(`<${tag}>([^<]{1,300})</${tag}>`).exec(text)?.[1];
  const code = stringField(json, 'code') ?? xml('Code');
  const message = stringField(json, 'message') ?? stringField(json, 'msg') ?? xml('Message');
  return classifyProviderError(
    { status, code, message: message && redactText(message, secrets), retryAfterMs, requestId },
    operation,
  );
}

function unreachable(operation: ProviderOperation, cause: Error): VideoError {
  return new VideoError(FailureType.ProviderUnavailable, `The ${operation} got no whole answer: ${cause.message}`, {
    retryable: true,
    nextStep:
      untrustedHint(cause) ?? 'Wait; the step is tried again. Check network and DASHSCOPE_HTTP_BASE_URL if it stays.',
    cause,
  });
}

/** Name, code and redacted message of a fault; the original may hold sockets, headers and links. */
function safeCause(cause: unknown, secrets: readonly string[]): Error {
  if (!(cause instanceof Error)) return new Error('the call was aborted');
  const code = (cause as NodeJS.ErrnoException).code;
  const message = cause.message === '' && cause instanceof AggregateError ? String(cause.errors[0]) : cause.message;
  return new Error(
    redactText(typeof code === 'string' && !message.includes(code) ? `${code} ${message}` : message, secrets),
  );
}

function asCredentialError(cause: unknown): VideoError {
  if (cause instanceof VideoError) return cause;
  return new VideoError(FailureType.CredentialsMissing, 'The API key could not be read', {
    cause: safeCause(cause, []),
  });
}

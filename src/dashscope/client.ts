import { createHash } from 'node:crypto';
import type { Dispatcher } from 'undici';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { redactText } from '../net/redact.js';
import type { Oddity } from './answer-reader.js';
import { saysCancelled, saysUploaded, WHOLE } from './done-answers.js';
import { classifyProviderError, lastSegment, type ProviderOperation } from './errors.js';
import {
  type Answer,
  describeFault,
  ProviderHttp,
  type ProviderHttpOptions,
  refusalError,
  retryAfterOf,
} from './http.js';
import type { CreateTaskRequest } from './request-body.js';
import { type NoteFacts, oddityFacts, type RequestTrace, submitFacts, untraced } from './request-trace.js';
import { decideSubmitOutcome, type SubmitOutcome } from './submit-outcome.js';
import { buildUploadForm, type UploadedFile } from './upload-form.js';
import {
  type AnswerParser,
  errorAnswer,
  formatListTime,
  listAnswer,
  policyAnswer,
  type TaskPage,
  type TaskSnapshot,
  taskAnswer,
  type UploadPolicy,
} from './wire.js';

/** Bounds on whole calls, in milliseconds. */
interface ClientTimeouts {
  readonly submitMs: number;
  /** Query, list and upload policy. */
  readonly readMs: number;
  readonly cancelMs: number;
  readonly uploadMs: number;
  /** Until the headers of a download, and between two of its chunks; the caller bounds its whole length. */
  readonly downloadIdleMs: number;
}

const DEFAULT_TIMEOUTS: ClientTimeouts = {
  submitMs: 20_000, // below the activity's 30 s, so that our own answer comes first
  readMs: 10_000, // the provider answers in some 50 ms
  cancelMs: 10_000,
  uploadMs: 120_000, // 20 MB at 1.5 Mbit/s take 107 s
  downloadIdleMs: 30_000,
};

export interface DashScopeClientOptions extends Omit<ProviderHttpOptions, 'now'> {
  /** With `/api/v1`, with or without a trailing slash. */
  readonly baseUrl: string;
  /** Called before every request, so that a renewed key is used at once. */
  readonly apiKey: () => Promise<string> | string;
  readonly workspace?: string | undefined;
  readonly timeouts?: Partial<ClientTimeouts> | undefined;
  /** When requests that the account limits may be sent; default: at once. */
  readonly pace?: RequestPace | undefined;
  /** Called for every field of an answer that is not as documented; must not throw. */
  readonly onOddity?: ((oddity: Oddity) => void) | undefined;
  /** Follows every request; default: nothing does. */
  readonly trace?: RequestTrace | undefined;
  /** Called at the end of every submit; must not throw. */
  readonly onSubmit?: ((outcome: SubmitOutcome) => void) | undefined;
  /** Milliseconds since the epoch; injected so that a test owns the clock. */
  readonly now?: (() => number) | undefined;
}

/** The order and the rate of requests that the account limits. */
interface RequestPace {
  /** Calls `send`, a query or a list, when it is its turn; rejects as `send` does, or with the signal's reason. */
  readonly readStatus: <T>(send: () => Promise<T>, signal?: AbortSignal) => Promise<T>;
  /** Resolves when the next submit may be sent. */
  readonly submitTurn: () => Promise<void>;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

interface ReadOptions extends CallOptions {
  readonly taskId?: string;
  readonly modelName?: string;
}

interface ReadCall<T> extends CallOptions {
  readonly operation: ProviderOperation;
  readonly path: string;
  readonly parse: AnswerParser<T>;
  readonly key: string;
  readonly note: NoteFacts;
}

export interface CreateTaskOptions extends CallOptions {
  /** Must be true when an input is an `oss://` address. */
  readonly ossResolve?: boolean | undefined;
  /** Asked once more when the connection is up, right before the first byte; `false` ends the submit as `not_sent`. */
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

/**
 * The provider's operations, one method per call. Nothing is ever sent twice and no redirect is followed.
 * Unless a method says otherwise, it rejects with a {@link VideoError} (types as in `classifyProviderError`; network
 * faults and timeouts are `ProviderUnavailable`, retryable) or, unchanged, with `signal.reason` once the caller's
 * signal aborts. Messages never carry the key or a URL's query string.
 */
export class DashScopeClient {
  readonly #base: string;
  readonly #options: DashScopeClientOptions;
  readonly #timeouts: ClientTimeouts;
  readonly #now: () => number;
  readonly #http: ProviderHttp;
  readonly #trace: RequestTrace;

  constructor(options: DashScopeClientOptions) {
    this.#options = options;
    this.#trace = options.trace ?? untraced;
    this.#base = options.baseUrl.replace(/\/+$/, '');
    this.#timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#now = options.now ?? Date.now;
    this.#http = new ProviderHttp({ ...options, now: this.#now });
  }

  /** Buys one generation. Never rejects: every end, a missing key and an abort included, is a {@link SubmitOutcome}. */
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
    try {
      await this.#options.pace?.submitTurn();
    } catch (cause) {
      const fault = describeFault(cause, [key]);
      return decideSubmitOutcome({ bodyPulled: false, fault: fault.message, cause: fault });
    }
    return this.#trace('submit', { model: body.model }, async (note) => {
      const outcome = await this.#post(body, key, options);
      note(submitFacts(outcome));
      return outcome;
    });
  }

  async #post(body: CreateTaskRequest, key: string, options: CreateTaskOptions): Promise<SubmitOutcome> {
    const bytes = Buffer.from(JSON.stringify(body));
    let bodyPulled = false;
    try {
      const url = `${this.#base}/services/aigc/video-generation/video-synthesis`;
      const answer = await this.#http.send('submit', 'POST', url, {
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
        // undici pulls the body only once the connection is up: a body never pulled proves that nothing was bought.
        body: (async function* () {
          if (options.mayStillSend?.() === false) throw new Error('its time to begin was over');
          bodyPulled = true;
          yield bytes;
        })(),
      });
      return decideSubmitOutcome({ bodyPulled, answer });
    } catch (cause) {
      const fault = describeFault(cause, [key]);
      return decideSubmitOutcome({ bodyPulled, fault: fault.message, cause: fault });
    }
  }

  /**
   * Distinguishes keys without revealing them: 16 hex digits that change with the key. Rejects as the key's source
   * does.
   */
  async keyFingerprint(): Promise<string> {
    const key = await this.#key();
    return createHash('sha256').update(`wan-video key fingerprint\n${key}`).digest('hex').slice(0, 16);
  }

  /**
   * Queries one task. An id that the provider does not know, or no longer knows after 24 h, has the status `UNKNOWN`.
   * An account may query 20 times per second.
   */
  async queryTask(taskId: string, options: CallOptions = {}): Promise<TaskSnapshot> {
    const path = `/tasks/${encodeURIComponent(taskId)}`;
    const { value, key, requestId } = await this.#readStatus('query', path, taskAnswer(taskId), { ...options, taskId });
    const { message } = value;
    return {
      ...value,
      requestId: value.requestId ?? requestId,
      ...(message !== undefined && { message: redactText(message, [key]) }),
    };
  }

  /** One page of the account's tasks of the last 24 h, all keys together. An account may list 20 times per second. */
  async listTasks(query: ListTasksQuery): Promise<TaskPage> {
    const search = new URLSearchParams({
      model_name: query.modelName,
      page_no: String(query.pageNo),
      page_size: String(query.pageSize),
    });
    if (query.startMs !== undefined) search.set('start_time', formatListTime(query.startMs));
    if (query.endMs !== undefined) search.set('end_time', formatListTime(query.endMs));
    return (await this.#readStatus('list', `/tasks/?${search}`, listAnswer(query.pageNo), query)).value;
  }

  /**
   * Asks the provider to cancel a task that has not started yet (a task is `PENDING` for some 40 ms when a slot is
   * free).
   * @param options.timeoutMs - Bound on the whole call in milliseconds; default 10 000.
   * @returns `true` when the provider accepted, `false` when the task had started or ended. Safe to repeat.
   */
  async cancelTask(
    taskId: string,
    options: CallOptions & { readonly timeoutMs?: number | undefined } = {},
  ): Promise<boolean> {
    const key = await this.#key();
    const url = `${this.#base}/tasks/${encodeURIComponent(taskId)}/cancel`;
    return this.#trace('cancel', { taskId }, async (note) => {
      const answer = await this.#http.call('cancel', 'POST', url, {
        timeoutMs: options.timeoutMs ?? this.#timeouts.cancelMs,
        signal: options.signal,
        secrets: [key],
        headers: this.#headers(key),
      });
      const { code } = errorAnswer('cancel', answer.json);
      if (code !== undefined && lastSegment(code) === 'unsupportedoperation') {
        note({ outcome: 'too_late', requestId: answer.requestId });
        return false;
      }
      if (answer.status === 200 && code === undefined && saysCancelled(answer.json)) return true;
      throw refusalError(answer, 'cancel', [key]);
    });
  }

  /** Fetches a policy to upload one file for `model`: 100 per second at most, each valid for five minutes. */
  async getUploadPolicy(model: string, options: CallOptions = {}): Promise<UploadPolicy> {
    const search = new URLSearchParams({ action: 'getPolicy', model });
    return (await this.#read('policy', `/uploads?${search}`, policyAnswer, { ...options, modelName: model })).value;
  }

  /**
   * Streams one file into the provider's temporary store, which keeps it for 48 hours.
   * @returns the `oss://` address for `img_url`; the submit then needs `ossResolve`.
   * @throws the error of `file.body`, unchanged.
   */
  async uploadFile(policy: UploadPolicy, file: UploadedFile, options: CallOptions = {}): Promise<string> {
    const form = buildUploadForm(policy, file);
    const secrets = [policy.signature, policy.policy];
    return this.#trace('upload', {}, async () => {
      let answer: Answer;
      try {
        answer = await this.#http.call('upload', 'POST', policy.uploadHost, {
          timeoutMs: this.#timeouts.uploadMs,
          signal: options.signal,
          secrets,
          headers: form.headers,
          body: form.body,
        });
      } catch (error) {
        const source = form.sourceError();
        if (source !== undefined && options.signal?.aborted !== true) throw source.error;
        throw error;
      }
      if (!saysUploaded(answer)) throw refusalError(answer, 'upload', secrets);
      return `oss://${form.key}`;
    });
  }

  /**
   * Opens a result link, without credentials.
   * @param options.from - First byte wanted. The answer is then 206, or 200 with the whole file from a server without
   * ranges.
   * @returns undici's answer with status 200, 206, a redirect, or 416 when there is nothing from `from` on; the caller
   * reads or destroys `body`.
   * @throws {@link VideoError} `ResultExpired` when the link is out of date.
   */
  async download(
    url: string,
    options: CallOptions & { readonly from?: number | undefined } = {},
  ): Promise<Dispatcher.ResponseData> {
    const { signal, from = 0 } = options;
    return this.#trace('download', {}, async () => {
      const response = await this.#http.download(url, { from, idleMs: this.#timeouts.downloadIdleMs, signal });
      // The caller judges 416: the bytes it has may be the whole file, or belong to another one.
      if ([200, 206, 416].includes(response.statusCode) || isRedirect(response)) return response;
      response.body.on('error', () => {}).destroy();
      const retryAfterMs = retryAfterOf(response.headers, this.#now());
      throw classifyProviderError({ status: response.statusCode, retryAfterMs }, 'download');
    });
  }

  /** Closes the connections that this client opened itself; a dispatcher that was handed in stays open. */
  close(): Promise<void> {
    return this.#http.close();
  }

  async #key(): Promise<string> {
    const key = await this.#options.apiKey();
    // A line break would make the header unsendable, and a retry would not fix it.
    if (/^[\x21-\x7e]+$/.test(key)) return key;
    throw new VideoError(
      FailureType.CredentialsRejected,
      'The API key is empty or has characters that no header can carry',
      { nextStep: 'Write the key without spaces or line breaks.' },
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

  /** Queries and lists count towards the same limit. */
  #readStatus<T>(operation: 'query' | 'list', path: string, parse: AnswerParser<T>, options: ReadOptions) {
    const send = () => this.#read(operation, path, parse, options);
    const { pace } = this.#options;
    return pace === undefined ? send() : pace.readStatus(send, options.signal);
  }

  async #read<T>(operation: ProviderOperation, path: string, parse: AnswerParser<T>, options: ReadOptions) {
    const key = await this.#key();
    const { signal, taskId, modelName: model } = options;
    return this.#trace(operation, { taskId, model }, (note) =>
      this.#get({ operation, path, parse, key, signal, note }),
    );
  }

  async #get<T>({ operation, path, parse, key, signal, note }: ReadCall<T>) {
    const answer = await this.#http.call(operation, 'GET', `${this.#base}${path}`, {
      timeoutMs: this.#timeouts.readMs,
      signal,
      secrets: [key],
      headers: this.#headers(key),
    });
    if (!WHOLE.has(answer.status)) throw refusalError(answer, operation, [key]);
    const { value, oddities } = parse(answer.json);
    for (const oddity of oddities) this.#options.onOddity?.(oddity);
    note({ requestId: answer.requestId, ...oddityFacts(oddities) });
    if (value !== undefined) return { value, key, requestId: answer.requestId };
    // A gateway's or the provider's refusal may come with status 200.
    const { code } = errorAnswer(operation, answer.json);
    if (code !== undefined) throw refusalError(answer, operation, [key]);
    const fields = oddities.map(({ field }) => field).join(', ') || 'no JSON object';
    throw new VideoError(
      FailureType.ProviderUnavailable,
      `The answer to the ${operation} is not as documented: ${fields}`,
      {
        retryable: true,
        requestId: answer.requestId,
        nextStep: 'Wait; the step is retried. If it persists, the provider has changed its interface.',
      },
    );
  }
}

const isRedirect = ({ statusCode, headers }: Dispatcher.ResponseData): boolean =>
  statusCode >= 300 && statusCode < 400 && headers['location'] !== undefined;

function asCredentialError(cause: unknown): VideoError {
  if (cause instanceof VideoError) return cause;
  return new VideoError(FailureType.CredentialsMissing, 'The API key could not be read', {
    cause: describeFault(cause, []),
  });
}

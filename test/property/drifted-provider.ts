import { gzipSync } from 'node:zlib';
import { Dispatcher } from 'undici';
import type { DriftChange } from '../../src/emulator/drift-change.js';
import { writeChanged } from '../../src/emulator/drift-change.js';
import type { Random } from './random.js';

/** A task of the provider, as it really is. */
export interface PaidTask {
  readonly id: string;
  readonly prompt: string;
  readonly createdAtMs: number;
  readonly endsAtMs: number;
  readonly fails: boolean;
  cancelled: boolean;
}

/** What the provider bills for each task: what every submit of the property asks for. */
export const BILLED = { seconds: 4, resolution: '720P', audio: false } as const;
export const BASE_URL = 'http://127.0.0.1:1/api/v1';
const HOST = 'http://127.0.0.1:1';
const DAY_MS = 86_400_000;
/** Characters of a text that no field can mean. */
const LONG = 1_000_000;

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

interface Chosen {
  readonly changes: readonly DriftChange[];
  /** Determines what a change of any kind does. */
  readonly choice: string;
}

export interface DriftedProviderOptions {
  readonly random: Random;
  readonly now: () => number;
  /** The file behind every result link. */
  readonly video: Buffer;
  /** Changed answers of one operation at most; a wait of a day takes thousands. */
  readonly changesMax: number;
}

/** A provider in memory that answers on the wire as documented, except that some of its answers differ. */
export class DriftedProvider extends Dispatcher {
  readonly tasks: PaidTask[] = [];
  /** Changed answers so far, by operation. */
  readonly drifted = new Map<string, number>();
  /** How likely an answer differs; 0 from the moment that a world wants the truth. */
  drift = 0.5;
  /** How likely the reply to a submit is lost. */
  lostReplies = 0.15;
  /** What happened last, for the message of a broken promise. */
  readonly trace: string[] = [];
  readonly #random: Random;
  readonly #now: () => number;
  readonly #video: Buffer;
  readonly #changesMax: number;
  readonly #isConstant: boolean;
  readonly #constant = new Map<string, Chosen>();

  constructor({ random, now, video, changesMax }: DriftedProviderOptions) {
    super();
    this.#random = random;
    this.#now = now;
    this.#video = video;
    this.#changesMax = changesMax;
    this.#isConstant = random.chance(0.5);
    if (this.#isConstant) this.drift = 1;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const controller = {
      aborted: false,
      paused: false,
      reason: null,
      rawHeaders: [],
      rawTrailers: [],
      abort: (reason: Error) => handler.onResponseError?.(controller as never, reason),
      pause: () => undefined,
      resume: () => undefined,
    };
    handler.onRequestStart?.(controller as never, {});
    this.#respond(options).then(
      ({ status, headers, body }) => {
        handler.onResponseStart?.(controller as never, status, headers, '');
        if (body.length > 0) handler.onResponseData?.(controller as never, body);
        handler.onResponseEnd?.(controller as never, {});
      },
      (error: Error) => handler.onResponseError?.(controller as never, error),
    );
    return true;
  }

  note(line: string): void {
    this.trace.push(line);
    if (this.trace.length > 60) this.trace.shift();
  }

  statusOf(task: PaidTask): string {
    const nowMs = this.#now();
    if (nowMs - task.createdAtMs > DAY_MS) return 'UNKNOWN';
    if (task.cancelled) return 'CANCELED';
    if (nowMs < task.createdAtMs + 20_000) return 'PENDING';
    if (nowMs < task.endsAtMs) return 'RUNNING';
    return task.fails ? 'FAILED' : 'SUCCEEDED';
  }

  async #respond({ path, method, body }: Dispatcher.DispatchOptions): Promise<Answer> {
    const chunks: Uint8Array[] = [];
    if (body != null) for await (const chunk of body as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const url = new URL(String(path), HOST);
    const at = url.pathname.replace('/api/v1', '');
    if (at.startsWith('/results/')) return this.#download();
    if (at === '/upload') return { status: 200, headers: {}, body: Buffer.alloc(0) };
    if (at === '/services/aigc/video-generation/video-synthesis') {
      const answer = this.#submit(JSON.parse(Buffer.concat(chunks).toString()));
      if (this.#random.chance(this.lostReplies)) throw Object.assign(new Error('reset'), { code: 'ECONNRESET' });
      return this.#change('submit', 200, answer);
    }
    if (at === '/uploads') return this.#change('policy', 200, POLICY);
    if (at === '/tasks/') return this.#change('list', 200, this.#list(url.searchParams));
    const [isTask, id = '', cancel] = /^\/tasks\/([^/]+)(\/cancel)?$/.exec(at) ?? [];
    // As an object store answers for a link in another case: names are compared by letter.
    if (isTask === undefined) return { status: 404, headers: {}, body: Buffer.from('<Code>NoSuchKey</Code>') };
    const task = this.tasks.find((one) => one.id === decodeURIComponent(id));
    if (cancel === undefined || method !== 'POST') {
      return this.#change('query', 200, this.#query(decodeURIComponent(id), task));
    }
    if (task !== undefined && this.statusOf(task) === 'PENDING') {
      task.cancelled = true;
      return this.#change('cancel', 200, { request_id: 'c' });
    }
    const message = 'Only PENDING tasks can be cancelled.';
    return this.#change('cancel', 400, { code: 'UnsupportedOperation', message, request_id: 'c' });
  }

  #submit({ input }: { readonly input: { readonly prompt: string } }): unknown {
    const nowMs = this.#now();
    const n = String(this.tasks.length + 1);
    const id = `0385dc79-5ff8-4d82-bcb6-${n.padStart(12, '0')}`;
    const endsAtMs = nowMs + this.#random.between(40_000, 200_000);
    const fails = this.#random.chance(0.1);
    this.tasks.push({ id, prompt: input.prompt, createdAtMs: nowMs, endsAtMs, fails, cancelled: false });
    return { output: { task_status: 'PENDING', task_id: id }, request_id: `4909100c-7b5a-9f92-${n}` };
  }

  #query(id: string, task: PaidTask | undefined): unknown {
    const request_id = 'd1e2f3a4-0000';
    const status = task === undefined ? 'UNKNOWN' : this.statusOf(task);
    if (task === undefined || status === 'UNKNOWN')
      return { request_id, output: { task_id: id, task_status: 'UNKNOWN' } };
    const output = {
      task_id: id,
      task_status: status,
      submit_time: timeText(task.createdAtMs),
      ...(status !== 'PENDING' && { scheduled_time: timeText(task.createdAtMs + 20_000) }),
    };
    const end_time = timeText(task.endsAtMs);
    if (status === 'FAILED') {
      const failure = { code: 'InternalError', message: 'The service is busy.' };
      return { request_id, output: { ...output, end_time, ...failure } };
    }
    if (status !== 'SUCCEEDED') return { request_id, output };
    return {
      request_id,
      output: { ...output, end_time, orig_prompt: task.prompt, video_url: `${HOST}/results/${id}.mp4?Signature=abc` },
      usage: {
        duration: BILLED.seconds,
        input_video_duration: 0,
        output_video_duration: 4,
        video_count: 1,
        SR: 720,
        audio: false,
      },
    };
  }

  #list(search: URLSearchParams): unknown {
    const page_no = Number(search.get('page_no'));
    const page_size = 10;
    const listed = this.tasks.filter((task) => this.#now() - task.createdAtMs <= DAY_MS).reverse();
    const data = listed.slice((page_no - 1) * page_size, page_no * page_size).map((task) => ({
      api_key_id: '1',
      gmt_create: task.createdAtMs,
      model_name: 'wan2.6-i2v-flash',
      region: 'cn-beijing',
      request_id: 'r',
      status: this.statusOf(task),
      task_id: task.id,
      user_api_unique_key: 'apikey:v1:aigc:video-generation',
    }));
    return {
      request_id: 'l',
      data,
      total: listed.length,
      total_page: Math.ceil(listed.length / page_size),
      page_no,
      page_size,
    };
  }

  /** An answer, changed or not. */
  #change(operation: string, status: number, answer: unknown): Answer {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    const random = this.#random;
    const count = this.drifted.get(operation) ?? 0;
    if (count >= this.#changesMax || !random.chance(this.drift)) {
      return { status, headers, body: Buffer.from(JSON.stringify(answer)) };
    }
    this.drifted.set(operation, count + 1);
    const { changes, choice } = this.#chosen(operation, answer);
    const text = writeChanged(answer, changes, choice) ?? '';
    this.note(`${operation}: ${text.slice(0, 400)}`);
    const packed = random.chance(0.1);
    if (random.chance(0.1)) headers['content-type'] = random.pick(['text/html', 'text/plain; charset=gbk', '', 'x']);
    if (packed) headers['content-encoding'] = 'gzip';
    return { status, headers, body: packed ? gzipSync(text) : Buffer.from(text) };
  }

  /** The changes of one answer; always the same of an operation, as after a change of the provider's code, or any. */
  #chosen(operation: string, answer: unknown): Chosen {
    const chosen = this.#constant.get(operation) ?? {
      changes: this.#changes(operation, answer),
      choice: `${this.#random.next()}`,
    };
    if (this.#isConstant) this.#constant.set(operation, chosen);
    return chosen;
  }

  #changes(operation: string, answer: unknown): DriftChange[] {
    const random = this.#random;
    const others = OF_SERVERS_IN_BETWEEN[operation];
    if (others !== undefined && random.chance(0.1)) return [...random.pick(others)];
    if (random.chance(0.9)) return [{ kind: 'any' }];
    const path = random.pick(pathsOf(answer));
    if (random.chance(0.5)) return [{ kind: 'lengthen', path, to: LONG }];
    return [{ kind: 'set', path, value: random.pick([[[]], { a: { b: {} } }, '', -1, 1e21, false]) }];
  }

  #download(): Answer {
    const headers: Record<string, string> = {
      'content-type': 'video/mp4',
      'content-length': String(this.#video.length),
      'accept-ranges': 'bytes',
      etag: '"d41d8cd9"',
    };
    const video = this.#video;
    const random = this.#random;
    if (!random.chance(this.drift)) return { status: 200, headers, body: video };
    this.drifted.set('download', (this.drifted.get('download') ?? 0) + 1);
    const name = random.pick(Object.keys(headers));
    const value = random.pick([undefined, '', 'x', '-1', `${video.length + 1}`, 'video/MP4;x']);
    const packed = random.chance(0.2);
    const { [name]: _, ...others } = headers;
    const length = packed ? {} : value === undefined ? {} : { [name]: value };
    this.note(`download: ${name} ${value} ${packed}`);
    const changed = { ...(packed ? { 'content-encoding': 'gzip' } : others), ...length };
    return { status: 200, headers: changed, body: packed ? gzipSync(video) : video };
  }
}

const HOUR_MS = 3_600_000;
const set = (path: string, value: unknown): DriftChange => ({ kind: 'set', path, value }) as DriftChange;
const NO_ROWS = [set('data', []), set('total', 0), set('total_page', 0)];

/** What a server in between makes of an answer, by operation: several fields at once. */
const OF_SERVERS_IN_BETWEEN: Readonly<Record<string, readonly (readonly DriftChange[])[]>> = {
  query: [
    [set('code', 'Throttling'), set('output', { task_status: 'FAILED' })],
    [set('code', 'InternalError'), set('output', { task_status: 'UNKNOWN' })],
  ],
  list: [
    [set('code', 'InternalError'), ...NO_ROWS],
    [set('message', 'the request timed out'), ...NO_ROWS],
    [set('success', false), ...NO_ROWS],
    [{ kind: 'shift', path: 'data[*].gmt_create', by: 8 * HOUR_MS }],
    [set('data[*].gmt_create', '2026-01-01 10:00:00')],
    [set('data[*].model_name', 'wan2.6-i2v-flash-2026-01-15')],
  ],
};

const POLICY = {
  request_id: 'p',
  data: {
    policy: 'eyJleHBpcmF0aW9uIjoi',
    signature: 'c2lnbmF0dXJl',
    upload_dir: 'dashscope-instant/1/2026-01-01/abc',
    upload_host: `${HOST}/upload`,
    expire_in_seconds: 300,
    max_file_size_mb: 1024,
    capacity_limit_mb: 1024,
    oss_access_key_id: 'LTAI',
    x_oss_object_acl: 'private',
    x_oss_forbid_overwrite: 'true',
  },
};

/** Writes a moment as the provider does: UTC+8, with milliseconds. */
const timeText = (atMs: number): string => new Date(atMs + 8 * 3_600_000).toISOString().slice(0, 23).replace('T', ' ');

/** Paths of all members of an answer. */
function pathsOf(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [prefix];
  return Object.entries(value).flatMap(([name, member]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return typeof member === 'object' ? [path, ...pathsOf(member, path)] : [path];
  });
}

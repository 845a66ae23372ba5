import { createHash, createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { imageSize } from 'image-size';
import { makeClip } from './clip.js';

/** Behaviour that can be changed while the emulator runs. */
export interface EmulatorSettings {
  /** Factor by which rendering (and queueing) is faster than real time. */
  speed: number;
  /** Tasks of an account that render at once; the rest stay PENDING. */
  slots: number;
  /** Rendering time of every task in seconds before jitter and speed; null: about 6.3 s per video second, 1080P slower. */
  render_seconds: number | null;
  /** Seeded deviation of the rendering time as a fraction (0.05 = ±5 %). */
  jitter: number;
  /** Seed of jitter. */
  seed: number;
  /** Submits per second and account; 0 = unlimited. */
  submit_rate: number;
  /** Queries per second and account, also applied to lists and cancels on their own; 0 = unlimited. */
  query_rate: number;
  /** Upload policies per second and account; 0 = unlimited. */
  policy_rate: number;
  /** `code` of the 429 answers. */
  throttle_code: string;
  /** Real milliseconds until a new task shows up in the list. */
  list_lag_ms: number;
  /** Largest honoured `page_size`. */
  list_page_max: number;
  /** Whether listing answers 403. */
  list_refused: boolean;
  /** Where wrong fields surface: 400 at submit, or a task that turns FAILED. */
  validation: 'submit' | 'task';
  /** Models that exist. */
  models: string[];
  /** Width and height of the result are multiples of this many pixels (even). */
  geometry_multiple: number;
  /** Width divided by height assumed for http(s) images, which are not fetched. */
  aspect: number;
}

/** A fault for one or more coming requests. */
export interface EmulatorFault {
  /** Kind of request that is hit. */
  on: 'submit' | 'query' | 'list' | 'cancel' | 'upload' | 'policy' | 'download';
  /** Number of requests that are hit; default 1. */
  times?: number;
  /**
   * drop-reply closes the connection, reset sends a TCP reset, delay waits, status answers an error, unreadable answers 200
   * with broken JSON, truncate cuts the body, task-failed lets the task end FAILED (without `code` when none is given).
   */
  fault: 'drop-reply' | 'reset' | 'delay' | 'status' | 'unreadable' | 'truncate' | 'task-failed';
  /** Whether the request takes effect first; default "after" for drop-reply, "before" (no effect) for reset and status. */
  when?: 'before' | 'after';
  /** HTTP status of `status`; default 500. */
  status?: number;
  /** Error code. */
  code?: string;
  /** Error message. */
  message?: string;
  /** `Retry-After` of `status` in seconds. */
  retry_after?: number;
  /** Real milliseconds that `delay` waits; default 1000. */
  delay_ms?: number;
  /** Only requests about a task whose prompt contains this text. */
  match?: string;
}

/** Status of a task as in the provider's API. */
export type EmulatorTaskStatus = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';

/** A task; times are epoch milliseconds, null until reached (or until scheduled). */
export interface EmulatorTask {
  task_id: string;
  request_id: string;
  account: string;
  api_key_id: string;
  model: string;
  status: EmulatorTaskStatus;
  prompt: string;
  submit_ms: number;
  /** Start of rendering, may lie in the future while PENDING. */
  start_ms: number | null;
  /** End of rendering, lies in the future while RUNNING. */
  end_ms: number | null;
  /** Seconds charged: the duration once SUCCEEDED, else 0. */
  billed_seconds: number;
  /** Seconds of video. */
  duration: number;
  /** Tier: 720 or 1080. */
  sr: number;
  audio: boolean;
  /** Result size in pixels. */
  width: number;
  height: number;
  seed: number;
  /** Set when the task ends FAILED instead of SUCCEEDED. */
  failure: { code?: string; message?: string } | null;
  /** Rendering time in milliseconds after jitter, before speed. */
  render_ms: number;
}

/** What happened so far; counters count requests received, whatever the answer. */
export interface EmulatorState {
  tasks: EmulatorTask[];
  submits: number;
  queries: number;
  lists: number;
  uploads: number;
  policies: number;
  cancels: number;
  downloads: number;
  /** Seconds of video charged in all. */
  billed_seconds: number;
}

/** How to start an emulator. */
export interface EmulatorOptions {
  /** TCP port; default: a free one. */
  port?: number;
  /** Address to listen on; default 127.0.0.1. */
  host?: string;
  /** Accepted keys; default: every non-empty one. */
  apiKeys?: string[];
  /** Account by key; keys not named belong to the account "default". */
  accounts?: Record<string, string>;
  /** Deviations from the default settings. */
  settings?: Partial<EmulatorSettings>;
  /** File in which tasks and uploads survive a restart. */
  stateFile?: string;
  /** Clock in epoch milliseconds. */
  now?: () => number;
}

/** A running emulator. */
export interface Emulator {
  /** Provider base, e.g. http://127.0.0.1:1234/api/v1. */
  readonly baseUrl: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** The state as of now. */
  state(): EmulatorState;
  /** Changes settings; a new speed applies to the remaining time of running tasks. */
  settings(change: Partial<EmulatorSettings>): void;
  /** Queues faults. */
  faults(fault: EmulatorFault | EmulatorFault[]): void;
  /** Forgets tasks, uploads, faults and counters and restores the settings of the start. */
  reset(): void;
  /** Stops listening; open connections are closed. */
  close(): Promise<void>;
}

const DEFAULTS: EmulatorSettings = {
  speed: 1,
  slots: 5,
  render_seconds: null,
  jitter: 0.05,
  seed: 1,
  submit_rate: 5,
  query_rate: 20,
  policy_rate: 100,
  throttle_code: 'Throttling.RateQuota',
  list_lag_ms: 0,
  list_page_max: 100,
  list_refused: false,
  validation: 'submit',
  models: ['wan2.6-i2v-flash'],
  geometry_multiple: 2,
  aspect: 16 / 9,
};

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const UPLOAD_LIFE = 48 * HOUR;
const POLICY_SECONDS = 300;
const QUEUE_MS = 40;
const VALIDATION_MS = 2000;
const MAX_IMAGE_BYTES = 20 * 1024 * 1024;
const MAX_UPLOAD_MB = 100;
const CLIPS_KEPT = 8;
const ACCESS_KEY_ID = 'LTAI5tEmulator';
const COUNTER = {
  submit: 'submits',
  query: 'queries',
  list: 'lists',
  cancel: 'cancels',
  upload: 'uploads',
  policy: 'policies',
  download: 'downloads',
} as const;

type Operation = EmulatorFault['on'];
type Counters = Record<(typeof COUNTER)[Operation], number>;
type Json = Record<string, unknown>;

interface Answer {
  status: number;
  body: Buffer | Json | string;
  headers?: Record<string, string>;
}

interface Upload {
  key: string;
  model: string;
  account: string;
  expires_ms: number;
  bytes: number;
  image: { width: number; height: number } | null;
}

interface Saved {
  secret: string;
  tasks: EmulatorTask[];
  uploads: Upload[];
  counters: Counters;
}

/** An error in the provider's JSON form. */
class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** An error in the object store's XML form. */
class StoreError extends ApiError {}

const noCounters = (): Counters => ({
  submits: 0,
  queries: 0,
  lists: 0,
  uploads: 0,
  policies: 0,
  cancels: 0,
  downloads: 0,
});

/** Tasks, uploads and their rules; no I/O except the state file. */
class Model {
  current: EmulatorSettings;
  tasks: EmulatorTask[] = [];
  counters = noCounters();
  queued: (EmulatorFault & { times: number })[] = [];
  secret = randomBytes(16).toString('hex');
  readonly now: () => number;
  private readonly uploads = new Map<string, Upload>();
  private readonly recent = new Map<string, number[]>();
  private readonly initial: EmulatorSettings;
  private readonly stateFile: string | undefined;

  constructor(options: EmulatorOptions) {
    this.initial = { ...DEFAULTS, ...options.settings };
    this.current = { ...this.initial };
    this.now = options.now ?? Date.now;
    this.stateFile = options.stateFile;
    if (this.stateFile !== undefined && existsSync(this.stateFile)) {
      const saved = JSON.parse(readFileSync(this.stateFile, 'utf8')) as Saved;
      this.secret = saved.secret;
      this.tasks = saved.tasks;
      this.counters = { ...noCounters(), ...saved.counters };
      for (const upload of saved.uploads) this.uploads.set(upload.key, upload);
    }
  }

  save(): void {
    if (this.stateFile === undefined) return;
    const { secret, tasks, counters } = this;
    const saved: Saved = { secret, tasks, counters, uploads: [...this.uploads.values()] };
    mkdirSync(dirname(this.stateFile), { recursive: true });
    const temporary = `${this.stateFile}.tmp`;
    writeFileSync(temporary, JSON.stringify(saved));
    renameSync(temporary, this.stateFile);
  }

  reset(): void {
    this.tasks = [];
    this.counters = noCounters();
    this.queued = [];
    this.uploads.clear();
    this.recent.clear();
    this.current = { ...this.initial };
    this.save();
  }

  change(change: Partial<EmulatorSettings>): void {
    const t = this.advance();
    const before = this.current.speed;
    const next = { ...this.current, ...change };
    if (!(next.speed > 0)) throw new ApiError(400, 'InvalidParameter', 'speed must be a positive number');
    this.current = next;
    for (const task of this.tasks) {
      if (!occupies(task) || task.start_ms === null || task.end_ms === null) continue;
      const rescaled = (at: number): number => (at <= t ? at : t + Math.round(((at - t) * before) / next.speed));
      task.start_ms = rescaled(task.start_ms);
      task.end_ms = rescaled(task.end_ms);
    }
    this.advance(t);
    this.save();
  }

  state(): EmulatorState {
    this.advance();
    const billed_seconds = this.tasks.reduce((sum, task) => sum + task.billed_seconds, 0);
    return { tasks: structuredClone(this.tasks), ...this.counters, billed_seconds };
  }

  /** Replays starts and ends up to now, in order; no task starts before `earliest` (epoch ms). Returns now. */
  advance(earliest = 0): number {
    const t = this.now();
    let changed = false;
    for (const account of new Set(this.tasks.map((task) => task.account))) {
      const own = this.tasks.filter((task) => task.account === account);
      let free = this.current.slots - own.filter((task) => occupies(task)).length;
      let moment = earliest; // when the latest slot became free
      for (;;) {
        const next = own.find((task) => task.status === 'PENDING' && task.start_ms === null);
        if (next !== undefined && free > 0) {
          const start = Math.max(next.submit_ms + this.scaled(QUEUE_MS), moment);
          next.start_ms = start;
          next.end_ms = start + this.scaled(next.render_ms);
          free--;
          changed = true;
          continue;
        }
        const ending = own
          .filter((task) => occupies(task) && (task.end_ms ?? Infinity) <= t)
          .sort((a, b) => (a.end_ms ?? 0) - (b.end_ms ?? 0))[0];
        if (ending === undefined) break;
        moment = ending.end_ms ?? t;
        ending.status = ending.failure === null ? 'SUCCEEDED' : 'FAILED';
        ending.billed_seconds = ending.failure === null ? ending.duration : 0;
        free++;
        changed = true;
      }
      for (const task of own) {
        if (task.status === 'PENDING' && task.start_ms !== null && task.start_ms <= t) {
          task.status = 'RUNNING';
          changed = true;
        }
      }
    }
    if (changed) this.save();
    return t;
  }

  /** A task of this account that is not older than 24 h. */
  find(taskId: string, account: string): EmulatorTask | undefined {
    const t = this.advance();
    const task = this.tasks.find((one) => one.task_id === taskId && one.account === account);
    return task !== undefined && isKept(task, t) ? task : undefined;
  }

  create(
    input: Json,
    parameters: Json,
    from: { model: string; account: string; key: string; request_id: string },
    image: { width: number; height: number } | undefined,
    failure: EmulatorTask['failure'],
    renderMs?: number,
  ): EmulatorTask {
    const t = this.advance();
    const sr = parameters['resolution'] === '720P' ? 720 : 1080;
    const duration = typeof parameters['duration'] === 'number' ? parameters['duration'] : 5;
    const task_id = randomUUID();
    const { aspect, geometry_multiple, jitter, seed } = this.current;
    const size = outputSize(sr, image === undefined ? aspect : image.width / image.height, geometry_multiple);
    const seconds = this.current.render_seconds ?? duration * 6.3 * (sr === 1080 ? 1.6 : 1);
    const deviation = (hash(`${seed}:${this.tasks.length}`) / 0xffffffff) * 2 - 1;
    const task: EmulatorTask = {
      task_id,
      request_id: from.request_id,
      account: from.account,
      api_key_id: String(hash(from.key) % 1_000_000),
      model: from.model,
      status: 'PENDING',
      prompt: [...String(input['prompt'] ?? '')].slice(0, 1500).join(''),
      submit_ms: t,
      start_ms: null,
      end_ms: null,
      billed_seconds: 0,
      duration,
      sr,
      audio: parameters['audio'] !== false,
      ...size,
      seed: typeof parameters['seed'] === 'number' ? parameters['seed'] : hash(task_id) >>> 1,
      failure,
      render_ms: renderMs ?? Math.round(seconds * 1000 * (1 + jitter * deviation)),
    };
    this.tasks.push(task);
    this.advance();
    this.save();
    return task;
  }

  cancel(task: EmulatorTask | undefined): void {
    if (task?.status !== 'PENDING') {
      const message = 'Failed to cancel the task, please confirm if the task is in PENDING status.';
      throw new ApiError(400, 'UnsupportedOperation', message);
    }
    const t = this.now();
    task.status = 'CANCELED';
    task.start_ms = null;
    task.end_ms = t;
    this.advance(t);
    this.save();
  }

  /** Throws 429 when the account has used up this second's share. */
  limit(kind: string, account: string, rate: number): void {
    if (rate <= 0) return;
    const t = this.now();
    const name = `${kind}:${account}`;
    const window = (this.recent.get(name) ?? []).filter((at) => at > t - 1000 && at <= t);
    this.recent.set(name, window);
    if (window.length >= rate) {
      throw new ApiError(429, this.current.throttle_code, 'Requests rate limit exceeded, please try again later.');
    }
    window.push(t);
  }

  /** Takes the first queued fault that fits. */
  take(on: Operation, prompt: string | undefined): EmulatorFault | undefined {
    const fits = (one: EmulatorFault): boolean =>
      one.on === on && (one.match === undefined || (prompt?.includes(one.match) ?? false));
    const fault = this.queued.find(fits);
    if (fault === undefined) return undefined;
    fault.times--;
    this.queued = this.queued.filter((one) => one.times > 0);
    return fault;
  }

  addUpload(upload: Upload): void {
    this.uploads.set(upload.key, upload);
    this.save();
  }

  upload(key: string): Upload | undefined {
    const upload = this.uploads.get(key);
    return upload !== undefined && upload.expires_ms > this.now() ? upload : undefined;
  }

  sign(text: string): string {
    return createHmac('sha1', this.secret).update(text).digest('base64');
  }

  verified(text: string, signature: string): boolean {
    const [a, b] = [Buffer.from(this.sign(text)), Buffer.from(signature)];
    return a.length === b.length && timingSafeEqual(a, b);
  }

  private scaled(ms: number): number {
    return Math.round(ms / this.current.speed);
  }
}

function occupies(task: EmulatorTask): boolean {
  return task.status === 'RUNNING' || (task.status === 'PENDING' && task.start_ms !== null);
}

function isOver(task: EmulatorTask): boolean {
  return task.status !== 'PENDING' && task.status !== 'RUNNING';
}

function isKept(task: EmulatorTask, t: number): boolean {
  return t - (isOver(task) ? (task.end_ms ?? task.submit_ms) : task.submit_ms) <= DAY;
}

function hash(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE();
}

function outputSize(sr: number, aspect: number, multiple: number): { width: number; height: number } {
  const pixels = sr === 720 ? 921_600 : 2_073_600;
  const floor = (x: number): number => Math.max(multiple, Math.floor(x / multiple + 1e-9) * multiple);
  return { width: floor(Math.sqrt(pixels * aspect)), height: floor(Math.sqrt(pixels / aspect)) };
}

/** 'YYYY-MM-DD HH:mm:ss.SSS' in UTC+8. */
function beijing(ms: number): string {
  return new Date(ms + 8 * HOUR).toISOString().replace('T', ' ').replace('Z', '');
}

/** Epoch milliseconds of 'YYYYMMDDhhmmss' in UTC+8. */
function fromBeijing(text: string): number {
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(text);
  const [year = NaN, month = 1, day, hour, minute, second] = (parts ?? []).slice(1).map(Number);
  const ms = Date.UTC(year, month - 1, day, hour, minute, second) - 8 * HOUR;
  if (Number.isNaN(ms)) throw new ApiError(400, 'InvalidParameter', `Invalid time: ${text}, expected yyyyMMddHHmmss`);
  return ms;
}

/** Size in pixels of a JPEG, PNG, BMP or WEBP image; null for anything else. */
function dimensions(bytes: Buffer): { width: number; height: number } | null {
  const start = bytes.subarray(0, 12).toString('latin1');
  if (!/^(\xff\xd8\xff|\x89PNG\r\n|BM|RIFF[\s\S]{4}WEBP)/.test(start)) return null;
  try {
    const { width, height } = imageSize(bytes);
    return width > 0 && height > 0 ? { width, height } : null;
  } catch {
    return null;
  }
}

function parseObject(body: unknown): Json {
  try {
    const value: unknown = JSON.parse(Buffer.isBuffer(body) ? body.toString('utf8') : '');
    if (isObject(value)) return value;
  } catch {
    // answered below
  }
  throw new ApiError(400, 'BadRequest.IllegalInput', 'Required body invalid, please check the request body format.');
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object without its null members. */
function present(value: unknown): Json {
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null)) : {};
}

/** Everything wrong with the fields, in the provider's words; the image itself is checked elsewhere. */
function fieldErrors(input: Json, parameters: Json): string[] {
  const errors: string[] = [];
  const [img_url, prompt] = [input['img_url'], input['prompt']];
  const [resolution, shot_type] = [parameters['resolution'], parameters['shot_type']];
  if (img_url === undefined || img_url === '') errors.push('Field required: input.img_url');
  else if (typeof img_url !== 'string') errors.push('Input should be a valid string: input.img_url');
  if (prompt !== undefined && typeof prompt !== 'string') errors.push('Input should be a valid string: input.prompt');
  if (resolution !== undefined && resolution !== '720P' && resolution !== '1080P') {
    errors.push("Input should be '1080P' or '720P': parameters.resolution");
  }
  const between = (name: string, value: unknown, low: number, high: number): void => {
    if (value === undefined) return;
    if (!Number.isInteger(value)) errors.push(`Input should be a valid integer: parameters.${name}`);
    else if ((value as number) < low)
      errors.push(`Input should be greater than or equal to ${low}: parameters.${name}`);
    else if ((value as number) > high) errors.push(`Input should be less than or equal to ${high}: parameters.${name}`);
  };
  between('duration', parameters['duration'], 2, 15);
  between('seed', parameters['seed'], 0, 2_147_483_647);
  for (const name of ['prompt_extend', 'audio', 'watermark']) {
    const value = parameters[name];
    if (value !== undefined && typeof value !== 'boolean') {
      errors.push(`Input should be a valid boolean: parameters.${name}`);
    }
  }
  if (shot_type !== undefined && shot_type !== 'single' && shot_type !== 'multi') {
    errors.push("Input should be 'single' or 'multi': parameters.shot_type");
  }
  return errors;
}

interface Part {
  name: string;
  filename: string | undefined;
  data: Buffer;
}

/** Splits a multipart/form-data body. */
function multipart(contentType: string, body: Buffer): Part[] {
  const match = /boundary=(?:"([^"]+)"|([^;]+))/i.exec(contentType);
  const boundary = match?.[1] ?? match?.[2]?.trim();
  const malformed = new StoreError(400, 'MalformedPOSTRequest', 'The body is not well-formed multipart/form-data.');
  if (boundary === undefined) throw malformed;
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const all = Buffer.concat([Buffer.from('\r\n'), body]);
  const parts: Part[] = [];
  let at = all.indexOf(delimiter);
  for (;;) {
    if (at < 0) throw malformed;
    const start = at + delimiter.length;
    if (all.toString('latin1', start, start + 2) === '--') return parts;
    const head = all.indexOf('\r\n\r\n', start);
    at = all.indexOf(delimiter, start);
    if (head < 0 || at < 0) throw malformed;
    const headers = all.toString('utf8', start, head);
    parts.push({
      name: /[; ]name="?([^";\r\n]*)"?/i.exec(headers)?.[1] ?? '',
      filename: /filename="?([^";\r\n]*)"?/i.exec(headers)?.[1],
      data: all.subarray(head + 4, Math.max(head + 4, at)),
    });
  }
}

function xml(error: ApiError, requestId: string): string {
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n' +
    `  <Code>${error.code}</Code>\n  <Message>${error.message}</Message>\n` +
    `  <RequestId>${requestId}</RequestId>\n</Error>\n`
  );
}

/** Starts a local server that answers like Model Studio's video API, with a control interface under /_emulator. */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const model = new Model(options);
  const clips = new Map<string, Promise<Uint8Array>>();
  const app = fastify({
    bodyLimit: (MAX_UPLOAD_MB + 10) * 1024 * 1024,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: true },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  const account = (key: string): string => options.accounts?.[key] ?? 'default';
  const hostOf = (request: FastifyRequest): string => `http://${request.headers.host ?? ''}`;
  const header = (request: FastifyRequest, name: string): string | undefined => {
    const value = request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  };

  function authorize(request: FastifyRequest): { key: string; account: string } {
    const key = /^Bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1];
    if (key === undefined) throw new ApiError(401, 'InvalidApiKey', 'No API-key provided.');
    if (options.apiKeys !== undefined && !options.apiKeys.includes(key)) {
      throw new ApiError(401, 'InvalidApiKey', 'Invalid API-key provided.');
    }
    return { key, account: account(key) };
  }

  function refuseAsync(request: FastifyRequest): void {
    if (header(request, 'x-dashscope-async') === 'enable') {
      throw new ApiError(403, 'AccessDenied', 'current user api does not support asynchronous calls.');
    }
  }

  function send(reply: FastifyReply, answer: Answer): FastifyReply {
    const json = isObject(answer.body) && !Buffer.isBuffer(answer.body);
    if (json) reply.header('content-type', 'application/json');
    return reply
      .code(answer.status)
      .headers(answer.headers ?? {})
      .send(json ? JSON.stringify(answer.body) : answer.body);
  }

  function refusal(error: unknown, requestId: string): Answer {
    if (!(error instanceof ApiError)) throw error;
    if (error instanceof StoreError) {
      return { status: error.status, body: xml(error, requestId), headers: { 'content-type': 'application/xml' } };
    }
    return { status: error.status, body: { code: error.code, message: error.message, request_id: requestId } };
  }

  /** Runs one request under the faults queued for it. */
  async function exchange(
    on: Operation,
    request: FastifyRequest,
    reply: FastifyReply,
    prompt: string | undefined,
    handle: (requestId: string, fault: EmulatorFault | undefined) => Answer | Promise<Answer>,
  ): Promise<FastifyReply> {
    const requestId = randomUUID();
    reply.header('x-request-id', requestId);
    model.counters[COUNTER[on]]++;
    const fault = model.take(on, prompt);
    const run = async (): Promise<Answer> => {
      try {
        return await handle(requestId, fault);
      } catch (error) {
        return refusal(error, requestId);
      }
    };
    switch (fault?.fault) {
      case 'drop-reply':
      case 'reset':
        if ((fault.when ?? (fault.fault === 'drop-reply' ? 'after' : 'before')) === 'after') await run();
        reply.hijack();
        if (fault.fault === 'reset') request.raw.socket.resetAndDestroy();
        else request.raw.socket.destroy();
        return reply;
      case 'status': {
        if (fault.when === 'after') await run();
        if (fault.retry_after !== undefined) reply.header('retry-after', String(fault.retry_after));
        const status = fault.status ?? 500;
        const code = fault.code ?? (status === 429 ? model.current.throttle_code : 'InternalError');
        const error = new (on === 'upload' || on === 'download' ? StoreError : ApiError)(
          status,
          code,
          fault.message ?? 'An internal error has occurred, please try again later.',
        );
        return send(reply, refusal(error, requestId));
      }
      case 'unreadable':
        await run();
        return send(reply, {
          status: 200,
          body: '<html>{"output":',
          headers: { 'content-type': 'application/json' },
        });
      case 'truncate': {
        const answer = await run();
        const { body } = answer;
        const bytes = Buffer.isBuffer(body)
          ? body
          : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
        reply.hijack();
        reply.raw.writeHead(answer.status, {
          'content-type': 'application/json',
          ...answer.headers,
          'content-length': String(Math.max(bytes.length, 1)),
          'x-request-id': requestId,
        });
        reply.raw.write(bytes.subarray(0, bytes.length >> 1), () => request.raw.socket.destroySoon());
        return reply;
      }
      case 'delay':
        await sleep(fault.delay_ms ?? 1000);
        return send(reply, await run());
      default:
        return send(reply, await run());
    }
  }

  function failureOf(fault: EmulatorFault): { code?: string; message?: string } {
    return {
      ...(fault.code === undefined ? {} : { code: fault.code }),
      ...(fault.message === undefined ? {} : { message: fault.message }),
    };
  }

  /** Size of the first frame when known; throws what the provider would say about the reference. */
  function firstFrame(url: string, modelName: string, owner: string): { width: number; height: number } | undefined {
    let image: { width: number; height: number } | null;
    let bytes: number;
    const invalid = (message: string): ApiError => new ApiError(400, 'InvalidParameter', message);
    if (/^https?:\/\//i.test(url)) return undefined;
    if (url.startsWith('oss://')) {
      const upload = model.upload(url.slice('oss://'.length));
      if (upload === undefined || upload.model !== modelName || upload.account !== owner) {
        throw invalid('The provided URL does not appear to be valid. Ensure it is correctly formatted.');
      }
      ({ image, bytes } = upload);
    } else {
      const data = /^data:image\/(?:jpeg|jpg|png|bmp|webp);base64,/i.exec(url)?.[0];
      if (data === undefined) throw invalid('url error, please check url!');
      const decoded = Buffer.from(url.slice(data.length), 'base64');
      image = dimensions(decoded);
      bytes = decoded.length;
    }
    if (image === null) throw invalid('The image format is not supported or the image is damaged.');
    if (bytes > MAX_IMAGE_BYTES) throw invalid('the size of input image is too large, at most 20 MB');
    const { width, height } = image;
    if (Math.min(width, height) < 240 || Math.max(width, height) > 8000) {
      throw invalid('the size of input image is too small or too large');
    }
    return image;
  }

  function submit(request: FastifyRequest, requestId: string, fault: EmulatorFault | undefined): Answer {
    const caller = authorize(request);
    if (header(request, 'x-dashscope-async') !== 'enable') {
      throw new ApiError(403, 'AccessDenied', 'current user api does not support synchronous calls.');
    }
    model.limit('submit', caller.account, model.current.submit_rate);
    const body = parseObject(request.body);
    const name = body['model'];
    if (typeof name !== 'string' || name === '') {
      throw new ApiError(400, 'BadRequest.EmptyModel', 'Required parameter "model" missing from request.');
    }
    if (!model.current.models.includes(name)) throw new ApiError(404, 'ModelNotFound', 'Model not exist.');
    if (!isObject(body['input'])) {
      throw new ApiError(400, 'BadRequest.EmptyInput', 'Required input parameter missing from request.');
    }
    const input = present(body['input']);
    const parameters = present(body['parameters']);
    const resolves = header(request, 'x-dashscope-ossresourceresolve') === 'enable';
    if (!resolves && [input['img_url'], input['audio_url']].some((url) => String(url).startsWith('oss://'))) {
      const message = 'Unable to download the media resource during the data inspection process.';
      throw new ApiError(400, 'InvalidParameter.DataInspection', message);
    }
    let image: { width: number; height: number } | undefined;
    let wrong: ApiError | undefined;
    const errors = fieldErrors(input, parameters);
    if (errors.length > 0) wrong = new ApiError(400, 'InvalidParameter', errors.join(' & '));
    else {
      try {
        image = firstFrame(String(input['img_url']), name, caller.account);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        wrong = error;
      }
    }
    if (wrong !== undefined && model.current.validation === 'submit') throw wrong;
    const from = { model: name, account: caller.account, key: caller.key, request_id: requestId };
    const failure = fault?.fault === 'task-failed' ? failureOf(fault) : null;
    const task =
      wrong === undefined
        ? model.create(input, parameters, from, image, failure)
        : model.create(input, parameters, from, image, { code: wrong.code, message: wrong.message }, VALIDATION_MS);
    const output = { task_status: 'PENDING', task_id: task.task_id };
    return { status: 200, body: { output, request_id: requestId } };
  }

  /** Path and query of the signed result address; `Expires` is 24 h after the end, in epoch seconds. */
  function resultPath(task: EmulatorTask): string {
    const hex = createHash('sha256').update(task.task_id).digest('hex');
    const end = task.end_ms ?? 0;
    const day = beijing(end).slice(0, 10).replaceAll('-', '');
    const path = `/results/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${day}/${hex.slice(4, 12)}/${task.task_id}.mp4`;
    const expires = Math.floor((end + DAY) / 1000);
    const signature = encodeURIComponent(model.sign(`GET\n${expires}\n${path}`));
    return `${path}?Expires=${expires}&OSSAccessKeyId=${ACCESS_KEY_ID}&Signature=${signature}`;
  }

  function describe(task: EmulatorTask, origin: string): Json {
    const output: Json = { task_id: task.task_id, task_status: task.status, submit_time: beijing(task.submit_ms) };
    if (task.start_ms !== null && task.status !== 'PENDING') output['scheduled_time'] = beijing(task.start_ms);
    if (isOver(task) && task.end_ms !== null) output['end_time'] = beijing(task.end_ms);
    if (task.status === 'FAILED') Object.assign(output, task.failure);
    if (task.status !== 'SUCCEEDED') return { output };
    output['orig_prompt'] = task.prompt;
    output['video_url'] = origin + resultPath(task);
    const usage = {
      duration: task.duration,
      input_video_duration: 0,
      output_video_duration: task.duration,
      video_count: 1,
      SR: task.sr,
      audio: task.audio,
    };
    return { output, usage };
  }

  function list(query: Record<string, string | undefined>, owner: string, requestId: string): Answer {
    const t = model.advance();
    const start = query['start_time'] ? fromBeijing(query['start_time']) : undefined;
    const end = query['end_time'] ? fromBeijing(query['end_time']) : undefined;
    const from = start ?? (end ?? t) - DAY;
    const to = end ?? (start === undefined ? t : start + DAY);
    if (to < from || to - from > DAY) {
      throw new ApiError(
        400,
        'InvalidParameter',
        'The time range between start_time and end_time must be within 24 hours.',
      );
    }
    const whole = (name: string, otherwise: number): number => {
      const value = query[name] ? Number(query[name]) : otherwise;
      if (!Number.isInteger(value) || value < 1) throw new ApiError(400, 'InvalidParameter', `Invalid ${name}.`);
      return value;
    };
    const page_no = whole('page_no', 1);
    const page_size = Math.min(whole('page_size', 10), model.current.list_page_max);
    const wanted = (name: string, value: string): boolean => !query[name] || query[name] === value;
    const found = model.tasks
      .filter(
        (task) =>
          task.account === owner &&
          isKept(task, t) &&
          task.submit_ms >= from &&
          Math.floor(task.submit_ms / 1000) * 1000 <= to &&
          task.submit_ms + model.current.list_lag_ms <= t &&
          wanted('task_id', task.task_id) &&
          wanted('model_name', task.model) &&
          wanted('status', task.status) &&
          wanted('api_key_id', task.api_key_id),
      )
      .reverse();
    const data = found.slice((page_no - 1) * page_size, page_no * page_size).map((task) => ({
      api_key_id: task.api_key_id,
      caller_parent_id: task.account,
      caller_uid: task.account,
      gmt_create: task.submit_ms,
      model_name: task.model,
      region: 'cn-beijing',
      request_id: task.request_id,
      ...(task.status === 'PENDING' || task.start_ms === null ? {} : { start_time: task.start_ms }),
      ...(isOver(task) && task.end_ms !== null ? { end_time: task.end_ms } : {}),
      status: task.status,
      task_id: task.task_id,
      user_api_unique_key: `apikey:v1:aigc:video-generation:video-synthesis:${task.model}`,
    }));
    const total_page = Math.ceil(found.length / page_size);
    return {
      status: 200,
      body: { total: found.length, data, total_page, page_no, request_id: requestId, page_size },
    };
  }

  function policy(modelName: string | undefined, owner: string, origin: string, requestId: string): Answer {
    if (!modelName || !model.current.models.includes(modelName)) {
      throw new ApiError(404, 'ModelNotFound', 'Model not exist.');
    }
    const t = model.now();
    const day = beijing(t).slice(0, 10);
    const upload_dir = `dashscope-instant/${createHash('md5').update(owner).digest('hex')}/${day}/${randomUUID()}`;
    const conditions = { upload_dir, model: modelName, account: owner };
    const text = JSON.stringify({ expiration: new Date(t + POLICY_SECONDS * 1000).toISOString(), conditions });
    const encoded = Buffer.from(text).toString('base64');
    const data = {
      policy: encoded,
      signature: model.sign(encoded),
      upload_dir,
      upload_host: `${origin}/oss-upload`,
      expire_in_seconds: POLICY_SECONDS,
      max_file_size_mb: MAX_UPLOAD_MB,
      capacity_limit_mb: 999_999_999,
      oss_access_key_id: ACCESS_KEY_ID,
      x_oss_object_acl: 'private',
      x_oss_forbid_overwrite: 'true',
    };
    return { status: 200, body: { request_id: requestId, data } };
  }

  function storeUpload(request: FastifyRequest): Answer {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const parts = multipart(request.headers['content-type'] ?? '', body);
    const file = parts.at(-1);
    if (file?.name !== 'file') throw new StoreError(400, 'InvalidArgument', 'The file must be the last form field.');
    const fields = new Map(parts.slice(0, -1).map((part) => [part.name, part.data.toString('utf8')]));
    const encoded = fields.get('policy') ?? '';
    if (fields.get('OSSAccessKeyId') !== ACCESS_KEY_ID) {
      throw new StoreError(
        403,
        'InvalidAccessKeyId',
        'The OSS Access Key Id you provided does not exist in our records.',
      );
    }
    if (!model.verified(encoded, fields.get('Signature') ?? '')) {
      throw new StoreError(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.');
    }
    const { expiration, conditions } = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')) as {
      expiration: string;
      conditions: { upload_dir: string; model: string; account: string };
    };
    const t = model.now();
    if (Date.parse(expiration) <= t) {
      throw new StoreError(403, 'AccessDenied', 'Invalid according to Policy: Policy expired.');
    }
    const key = (fields.get('key') ?? '').replaceAll(`\${filename}`, file.filename ?? 'file');
    if (!key.startsWith(`${conditions.upload_dir}/`)) {
      throw new StoreError(
        403,
        'AccessDenied',
        'Invalid according to Policy: Policy Condition failed: starts-with $key.',
      );
    }
    if (file.data.length > MAX_UPLOAD_MB * 1024 * 1024) {
      throw new StoreError(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size.');
    }
    if (model.upload(key) !== undefined) {
      throw new StoreError(
        409,
        'FileAlreadyExists',
        'The object you specified already exists and can not be overwritten.',
      );
    }
    model.addUpload({
      key,
      model: conditions.model,
      account: conditions.account,
      expires_ms: t + UPLOAD_LIFE,
      bytes: file.data.length,
      image: dimensions(file.data),
    });
    const status = Number(fields.get('success_action_status') ?? 204);
    return { status: [200, 201, 204].includes(status) ? status : 204, body: '' };
  }

  function clipOf(task: EmulatorTask): Promise<Uint8Array> {
    const known = clips.get(task.task_id);
    const { width, height, duration: durationSeconds, audio, seed, task_id: label } = task;
    const clip = known ?? makeClip({ width, height, durationSeconds, audio, seed, label });
    clips.delete(label);
    clips.set(label, clip);
    const oldest = clips.keys().next().value;
    if (clips.size > CLIPS_KEPT && oldest !== undefined) clips.delete(oldest);
    return clip;
  }

  async function download(request: FastifyRequest, task: EmulatorTask | undefined): Promise<Answer> {
    const { Expires: expires = '', Signature: signature = '' } = request.query as Record<string, string>;
    const path = request.url.split('?')[0] ?? '';
    if (!model.verified(`GET\n${expires}\n${path}`, signature)) {
      throw new StoreError(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.');
    }
    if (Number(expires) * 1000 < model.now()) throw new StoreError(403, 'AccessDenied', 'Request has expired.');
    if (task?.status !== 'SUCCEEDED') throw new StoreError(404, 'NoSuchKey', 'The specified key does not exist.');
    const clip = await clipOf(task);
    const bytes = Buffer.from(clip.buffer, clip.byteOffset, clip.byteLength);
    const headers = {
      'content-type': 'video/mp4',
      'accept-ranges': 'bytes',
      etag: `"${createHash('md5').update(bytes).digest('hex').toUpperCase()}"`,
      'last-modified': new Date(task.end_ms ?? 0).toUTCString(),
    };
    const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
    if (range === null || (range[1] === '' && range[2] === '')) return { status: 200, body: bytes, headers };
    const size = bytes.length;
    const first = range[1] === '' ? Math.max(0, size - Number(range[2])) : Number(range[1]);
    const last = range[1] === '' || range[2] === '' ? size - 1 : Math.min(Number(range[2]), size - 1);
    if (first > last) {
      const error = new StoreError(416, 'InvalidRange', 'The requested range cannot be satisfied.');
      const answer = refusal(error, randomUUID());
      return { ...answer, headers: { ...answer.headers, 'content-range': `bytes */${size}` } };
    }
    return {
      status: 206,
      body: bytes.subarray(first, last + 1),
      headers: { ...headers, 'content-range': `bytes ${first}-${last}/${size}` },
    };
  }

  app.post('/api/v1/services/aigc/video-generation/video-synthesis', (request, reply) => {
    let prompt = '';
    try {
      prompt = String(present(parseObject(request.body)['input'])['prompt'] ?? '');
    } catch {
      // the handler answers
    }
    return exchange('submit', request, reply, prompt, (id, fault) => submit(request, id, fault));
  });

  const promptOf = (taskId: string): string | undefined => model.tasks.find((one) => one.task_id === taskId)?.prompt;

  app.get<{ Params: { id: string } }>('/api/v1/tasks/:id', (request, reply) => {
    const { id } = request.params;
    return exchange('query', request, reply, promptOf(id), (request_id, fault) => {
      const caller = authorize(request);
      refuseAsync(request);
      model.limit('query', caller.account, model.current.query_rate);
      const task = model.find(id, caller.account);
      if (task === undefined) {
        return { status: 200, body: { request_id, output: { task_id: id, task_status: 'UNKNOWN' } } };
      }
      if (fault?.fault === 'task-failed' && !isOver(task)) {
        const t = model.now();
        task.failure = failureOf(fault);
        task.start_ms = Math.min(task.start_ms ?? t, t);
        task.end_ms = t;
        model.advance();
      }
      return { status: 200, body: { request_id, ...describe(task, hostOf(request)) } };
    });
  });

  app.get('/api/v1/tasks', (request, reply) =>
    exchange('list', request, reply, undefined, (id) => {
      const caller = authorize(request);
      refuseAsync(request);
      if (model.current.list_refused) throw new ApiError(403, 'AccessDenied', 'Access denied.');
      model.limit('list', caller.account, model.current.query_rate);
      return list(request.query as Record<string, string>, caller.account, id);
    }),
  );

  app.post<{ Params: { id: string } }>('/api/v1/tasks/:id/cancel', (request, reply) => {
    const { id } = request.params;
    return exchange('cancel', request, reply, promptOf(id), (request_id) => {
      const caller = authorize(request);
      model.limit('cancel', caller.account, model.current.query_rate);
      model.cancel(model.find(id, caller.account));
      return { status: 200, body: { request_id } };
    });
  });

  app.get('/api/v1/uploads', (request, reply) =>
    exchange('policy', request, reply, undefined, (id) => {
      const caller = authorize(request);
      const query = request.query as Record<string, string>;
      if (query['action'] !== 'getPolicy') throw new ApiError(400, 'InvalidParameter', 'action must be getPolicy');
      model.limit(`policy:${query['model']}`, caller.account, model.current.policy_rate);
      return policy(query['model'], caller.account, hostOf(request), id);
    }),
  );

  app.post('/oss-upload', (request, reply) =>
    exchange('upload', request, reply, undefined, () => storeUpload(request)),
  );

  app.route({
    method: ['GET', 'HEAD'],
    url: '/results/*',
    handler: (request, reply) => {
      model.advance();
      const id = /([^/]+)\.mp4$/.exec((request.params as Record<string, string>)['*'] ?? '')?.[1] ?? '';
      const task = model.tasks.find((one) => one.task_id === id);
      return exchange('download', request, reply, task?.prompt, () => download(request, task));
    },
  });

  const queueFaults = (faults: EmulatorFault | EmulatorFault[]): void => {
    for (const fault of [faults].flat()) {
      if (!Object.hasOwn(COUNTER, fault.on) || typeof fault.fault !== 'string') {
        throw new ApiError(400, 'InvalidParameter', 'a fault needs "on" and "fault"');
      }
      model.queued.push({ ...fault, times: fault.times ?? 1 });
    }
  };
  app.get('/_emulator/health', () => ({ status: 'ok' }));
  app.get('/_emulator/state', () => model.state());
  app.post('/_emulator/faults', (request) => {
    const text = Buffer.isBuffer(request.body) ? request.body.toString('utf8') : '';
    queueFaults(
      text.trimStart().startsWith('[') ? JSON.parse(text) : (parseObject(request.body) as unknown as EmulatorFault),
    );
    return { queued: model.queued };
  });
  app.post('/_emulator/settings', (request) => {
    model.change(parseObject(request.body));
    return model.current;
  });
  const reset = (): void => {
    model.reset();
    clips.clear();
  };
  app.post('/_emulator/reset', () => {
    reset();
    return model.state();
  });
  app.post('/_emulator/tasks', (request) => {
    const body = present(parseObject(request.body));
    const from = {
      model: String(body['model'] ?? model.current.models[0] ?? ''),
      account: String(body['account'] ?? 'default'),
      key: 'other-software',
      request_id: randomUUID(),
    };
    const { task_id } = model.create(body, { ...body, ...present(body['parameters']) }, from, undefined, null);
    return { task_id };
  });

  app.setNotFoundHandler((_request, reply) =>
    send(reply, refusal(new ApiError(404, 'NotFound', 'Not found.'), randomUUID())),
  );
  app.setErrorHandler((error: { statusCode?: number; message: string }, _request, reply) => {
    const status = error.statusCode ?? 500;
    const known =
      error instanceof ApiError
        ? error
        : status === 413
          ? new ApiError(400, 'BadRequest.TooLarge', 'Payload Too Large')
          : new ApiError(status, status < 500 ? 'InvalidParameter' : 'InternalError', error.message);
    return send(reply, refusal(known, randomUUID()));
  });

  const host = options.host ?? '127.0.0.1';
  await app.listen({ port: options.port ?? 0, host });
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  const origin = `http://${name}:${port}`;
  return {
    baseUrl: `${origin}/api/v1`,
    origin,
    state: () => model.state(),
    settings: (change) => model.change(change),
    faults: queueFaults,
    reset,
    close: async () => {
      model.save();
      await app.close();
    },
  };
}

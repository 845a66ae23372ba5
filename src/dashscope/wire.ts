import { AnswerReader, type Oddity } from './answer-reader.js';
import type { ProviderOperation } from './errors.js';

export type TaskStatus = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED' | 'UNKNOWN';

/** One look at a task; times in milliseconds since the epoch. */
export interface TaskSnapshot {
  readonly taskId: string;
  readonly status: TaskStatus;
  /** The status word is one that nobody documents. */
  readonly hasOddStatus?: boolean | undefined;
  readonly submitTimeMs?: number | undefined;
  readonly scheduledTimeMs?: number | undefined;
  readonly endTimeMs?: number | undefined;
  readonly origPrompt?: string | undefined;
  /** Signed, valid 24 h after the end: a secret. */
  readonly videoUrl?: string | undefined;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly requestId: string | undefined;
  /** What the provider says that it bills, only on success; each field is absent when it cannot be read. */
  readonly usage?: TaskUsage | undefined;
  /** Documented paths of the fields that could not be read. */
  readonly oddities?: readonly string[] | undefined;
}

/** Billed seconds, tier (720 or 1080 lines) and sound. */
interface TaskUsage {
  readonly duration?: number | undefined;
  readonly sr?: number | undefined;
  readonly audio?: boolean | undefined;
}

/** One row of the task list; it has neither prompt nor result. */
export interface ListedTask {
  readonly taskId: string;
  readonly status: TaskStatus;
  /** The status word is one that nobody documents. */
  readonly hasOddStatus?: boolean | undefined;
  readonly modelName?: string | undefined;
  /** When the provider created the task, in milliseconds since the epoch. */
  readonly createdAtMs?: number | undefined;
  readonly startedAtMs?: number | undefined;
  readonly endedAtMs?: number | undefined;
  readonly apiKeyId?: string | undefined;
  /** Request id of the submit call. */
  readonly requestId?: string | undefined;
}

export interface TaskPage {
  readonly tasks: readonly ListedTask[];
  /** Rows that name no readable task: each may be any task of the account, and an open one. */
  readonly unreadable: number;
  readonly total: number;
  readonly pageNo: number;
  readonly totalPages: number;
  readonly requestId?: string | undefined;
}

/** Where and how a temporary file may be uploaded; a secret while it lives. */
export interface UploadPolicy {
  readonly policy: string;
  readonly signature: string;
  readonly uploadDir: string;
  readonly uploadHost: string;
  readonly accessKeyId: string;
  readonly objectAcl: string;
  readonly forbidOverwrite: string;
}

/** What was read, and what of it was not as documented. */
interface Reading<T> {
  /** Undefined when a field that decides is missing or unreadable. */
  readonly value: T | undefined;
  readonly oddities: readonly Oddity[];
}

/** Reads one operation's answer; pure. */
export type AnswerParser<T> = (json: unknown) => Reading<T>;

/** Writes `YYYYMMDDhhmmss` in UTC+8, the form of the task list's filter. */
export function formatListTime(atMs: number): string {
  return new Date(atMs + 8 * 3_600_000).toISOString().slice(0, 19).replace(/\D/g, '');
}

/** Longest clip that any tier renders, in seconds, with room for a longer one: more is no billed duration. */
const BILLED_SECONDS_MAX = 60;

/** Spellings of a status, by their letters in upper case. */
const STATUS_WORDS: Readonly<Record<string, TaskStatus>> = {
  PENDING: 'PENDING',
  // Undocumented, only in the SDKs' enums: not ended, so it is queried again.
  SUSPENDED: 'PENDING',
  RUNNING: 'RUNNING',
  SUCCEEDED: 'SUCCEEDED',
  SUCCEED: 'SUCCEEDED',
  SUCCESS: 'SUCCEEDED',
  FAILED: 'FAILED',
  CANCELED: 'CANCELED',
  CANCELLED: 'CANCELED',
  UNKNOWN: 'UNKNOWN',
};

interface ReadStatus {
  /** Undefined when there is no word. */
  readonly status: TaskStatus | undefined;
  readonly isOdd: boolean;
}

/** The status in a field. A word that nobody documents is odd and means "not ended". */
function statusOf(reader: AnswerReader, name: string): ReadStatus {
  const word = reader.text(name);
  if (word === undefined) return { status: undefined, isOdd: false };
  const known = word.length > 40 ? undefined : STATUS_WORDS[word.replace(/[^a-z]/gi, '').toUpperCase()];
  if (known === undefined) reader.note(name, word);
  return { status: known ?? 'PENDING', isOdd: known === undefined };
}

/** The link of a result, in each place that the provider's pages show. */
function linkOf(output: AnswerReader): string | undefined {
  const direct = output.url('video_url');
  if (direct !== undefined || !output.has('results')) return direct;
  const rows = output.list('results') ?? [output.object('results')];
  for (const row of rows) {
    const link = row.url('video_url') ?? row.url('url');
    if (link !== undefined) return link;
  }
  return undefined;
}

function usageOf(usage: AnswerReader): TaskUsage | undefined {
  // 0 s of a video that was made is no statement about its price.
  const duration = usage.number('duration', 0.001, BILLED_SECONDS_MAX);
  const lines = usage.number('SR');
  if (lines !== undefined && lines !== 720 && lines !== 1080) usage.note('SR', lines);
  const sr = lines === 720 || lines === 1080 ? lines : undefined;
  const audio = usage.boolean('audio');
  return duration === undefined && sr === undefined && audio === undefined ? undefined : { duration, sr, audio };
}

/**
 * `GET /tasks/{id}`. The status decides, and the id must not be another one; everything else is read on its own. A link
 * without a readable status is a success, because only a success has one.
 * @param askedId - The task that was queried.
 */
export const taskAnswer =
  (askedId: string): AnswerParser<TaskSnapshot> =>
  (json) => {
    const answer = new AnswerReader('query', json);
    const output = answer.has('output') ? answer.object('output') : answer;
    const taskId = output.id('task_id');
    const isNamed = taskId !== undefined && isSameId(taskId, askedId);
    if (!isNamed) output.note('task_id', taskId);
    const { status: word, isOdd: isOddWord } = statusOf(output, 'task_status');
    const failure = word === 'FAILED' ? errorBy(output, answer) : readError(output);
    const hasNoVideo = word !== undefined && WITHOUT_VIDEO.has(word);
    const link = word === undefined || word === 'SUCCEEDED' || hasNoVideo ? linkOf(output) : undefined;
    // Only a success has a link, so an end without a video that has one, and no reason, contradicts itself.
    const isContradictory = hasNoVideo && link !== undefined && failure.code === undefined;
    if (word === undefined || isContradictory) output.note('task_status', word);
    const isOdd = isOddWord || isContradictory;
    const status = isContradictory ? 'PENDING' : (word ?? (link === undefined ? undefined : 'SUCCEEDED'));
    const videoUrl = status === 'SUCCEEDED' ? link : undefined;
    // What ends a purchase without a video must name its task: a server in between may have made the answer.
    const isBelieved = isNamed || (taskId === undefined && status !== undefined && !WITHOUT_VIDEO.has(status));
    if (status === undefined || !isBelieved) return { value: undefined, oddities: answer.oddities };
    const submitTimeMs = output.time('submit_time');
    const scheduledTimeMs = output.time('scheduled_time');
    let endTimeMs = output.time('end_time');
    if (endTimeMs !== undefined && endTimeMs < Math.max(submitTimeMs ?? 0, scheduledTimeMs ?? 0)) {
      output.note('end_time', endTimeMs);
      endTimeMs = undefined;
    }
    const usage = status === 'SUCCEEDED' ? usageOf((answer.has('usage') ? answer : output).object('usage')) : undefined;
    const value: TaskSnapshot = {
      taskId: askedId,
      status,
      submitTimeMs,
      scheduledTimeMs,
      endTimeMs,
      origPrompt: output.words('orig_prompt'),
      videoUrl,
      ...failure,
      requestId: answer.id('request_id'),
      usage,
      ...(isOdd && { hasOddStatus: true }),
      ...(answer.oddities.length > 0 && { oddities: answer.oddities.map(({ field }) => field) }),
    };
    return { value, oddities: answer.oddities };
  };

const WITHOUT_VIDEO: ReadonlySet<TaskStatus> = new Set(['FAILED', 'CANCELED', 'UNKNOWN']);

const isSameId = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/**
 * `GET /tasks/`, at the top level or under `output`. Rows are judged one by one; a page that does not say whether it
 * has rows, or that comes with a refusal, is unreadable as a whole, because it must not count as empty.
 * @param requestedPage - Its number, from 1: an answer need not repeat it.
 */
export const listAnswer =
  (requestedPage: number): AnswerParser<TaskPage> =>
  (json) => {
    const top = new AnswerReader('list', json);
    const answer = !top.has('data') && top.has('output') ? top.object('output') : top;
    const rows = answer.list('data');
    if (isRefusal(json, top, rows?.length ?? 0)) return { value: undefined, oddities: top.oddities };
    const total = answer.number('total');
    if (rows === undefined && (total !== 0 || answer.has('data'))) {
      if (!answer.has('data')) answer.note('data', undefined);
      return { value: undefined, oddities: top.oddities };
    }
    const tasks = (rows ?? []).map(listedTask);
    const readable = tasks.filter((task) => task !== undefined);
    return {
      value: {
        tasks: readable,
        unreadable: tasks.length - readable.length,
        total: total ?? 0,
        pageNo: answer.number('page_no', 1) ?? requestedPage,
        // Without a count of pages, a page with rows may be followed by another one.
        totalPages: answer.number('total_page') ?? (tasks.length > 0 ? requestedPage + 1 : requestedPage),
        requestId: top.id('request_id'),
      },
      oddities: top.oddities,
    };
  };

/** How an answer that worked may say so. */
const SUCCESS_WORDS = /^\s*(0|20\d|ok|success|succeeded|successful)\W*$/i;

/** Whether a page of the list says that listing failed; notes what no error can be made of. */
function isRefusal(json: unknown, top: AnswerReader, rows: number): boolean {
  const { code, message } = errorAnswer('list', json);
  if (code !== undefined) return !SUCCESS_WORDS.test(code);
  const says = message !== undefined && rows === 0 && !SUCCESS_WORDS.test(message);
  if (says) top.note('message', message);
  const isDenied = top.boolean('success') === false;
  if (isDenied) top.note('success', false);
  return says || isDenied;
}

function listedTask(row: AnswerReader): ListedTask | undefined {
  const taskId = row.id('task_id');
  if (taskId === undefined) {
    row.note('task_id', undefined);
    return undefined;
  }
  const { status, isOdd } = statusOf(row, 'status');
  if (status === undefined) row.note('status', undefined);
  return {
    taskId,
    status: status ?? 'PENDING',
    ...(isOdd && { hasOddStatus: true }),
    modelName: row.words('model_name'),
    createdAtMs: row.zonedTime('gmt_create'),
    startedAtMs: row.time('start_time'),
    endedAtMs: row.time('end_time'),
    apiKeyId: row.id('api_key_id'),
    requestId: row.id('request_id'),
  };
}

/** Longest part of an upload policy, in characters; real ones have some 500. */
const POLICY_TEXT_MAX = 16_384;

/** `GET /uploads?action=getPolicy`. What only guards the upload has the documented default. */
export const policyAnswer: AnswerParser<UploadPolicy> = (json) => {
  const top = new AnswerReader('policy', json);
  const data = top.has('data') ? top.object('data') : top.has('output') ? top.object('output') : top;
  const required = (name: string): string => {
    const value = data.whole(name, POLICY_TEXT_MAX);
    if (value === undefined) data.note(name, undefined);
    return value ?? '';
  };
  const uploadHost = uploadHostOf(data);
  if (uploadHost === undefined) data.note('upload_host', undefined);
  const policy: UploadPolicy = {
    policy: required('policy'),
    signature: required('signature'),
    uploadDir: required('upload_dir').replace(/\/+$/, ''),
    uploadHost: uploadHost ?? '',
    accessKeyId: required('oss_access_key_id'),
    objectAcl: data.text('x_oss_object_acl') ?? 'private',
    forbidOverwrite: String(data.boolean('x_oss_forbid_overwrite') ?? true),
  };
  return { value: Object.values(policy).includes('') ? undefined : policy, oddities: top.oddities };
};

/** The address that a file is uploaded to, also as the bare name of its host. */
function uploadHostOf(data: AnswerReader): string | undefined {
  const name = data.words('upload_host')?.trim().replace(/^\/\//, '') ?? '';
  return /^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{1,5})?\/?$/i.test(name) ? `https://${name}` : data.url('upload_host');
}

/** What an answer says of a refusal. */
export interface ProviderErrorText {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
}

const CODE_NAMES = ['code', 'error_code', 'err_code'] as const;
const MESSAGE_NAMES = ['message', 'msg', 'error_message', 'error_msg', 'err_msg', 'detail'] as const;

/** Code and message where they lie at this level; `error` may hold them as an object, or be the message itself. */
function readError(reader: AnswerReader): ProviderErrorText {
  const code = firstOf(CODE_NAMES, (name) => reader.text(name));
  const message = firstOf(MESSAGE_NAMES, (name) => reader.prose(name));
  if (code !== undefined || !reader.has('error')) return { code, message };
  const error = reader.object('error');
  return {
    code: firstOf([...CODE_NAMES, 'type', 'status'], (name) => error.text(name)),
    message: firstOf(MESSAGE_NAMES, (name) => error.prose(name)) ?? message ?? reader.prose('error'),
  };
}

function firstOf(names: readonly string[], read: (name: string) => string | undefined): string | undefined {
  for (const name of names) {
    const text = read(name);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** Code and message of a refusal, from each envelope that was seen: at the top, under `output` and under `error`. */
export function errorAnswer(operation: ProviderOperation, json: unknown): ProviderErrorText {
  const top = new AnswerReader(operation, Array.isArray(json) ? json[0] : json);
  return top.has('output') ? errorBy(top, top.object('output')) : readError(top);
}

/** Code and message where the first place has a code, else where the second one has them. */
function errorBy(first: AnswerReader, second: AnswerReader): ProviderErrorText {
  const found = readError(first);
  if (found.code !== undefined) return found;
  const other = readError(second);
  return { code: other.code, message: other.message ?? found.message };
}

import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from './clock.js';
import { COUNTER, type Counters } from './counters.js';
import type { EmulatorFault, FaultQueue, Operation } from './faults.js';
import { answer } from './faulty-reply.js';
import type { PictureStore } from './picture-store.js';
import { type RateLimit, throttled } from './rate-limit.js';
import type { ResultStore } from './result-store.js';
import type { EmulatorSettings } from './settings.js';
import { readSubmit } from './submit-body.js';
import { type EmulatorTask, isOver, type TaskFailure } from './task.js';
import type { TaskRegistry } from './task-registry.js';
import { describeTask, listTasks } from './task-view.js';
import type { UploadStore } from './upload-store.js';
import { type Answer, ApiError, header, isObject, type Json, originOf, parseObject, refusal } from './wire.js';

/** What the routes work with. */
export interface Provider {
  readonly tasks: TaskRegistry;
  readonly uploads: UploadStore;
  readonly pictures: PictureStore;
  readonly results: ResultStore;
  readonly faults: FaultQueue;
  readonly limit: RateLimit;
  readonly counters: Counters;
  readonly settings: () => EmulatorSettings;
  readonly now: Clock;
  readonly save: () => void;
  readonly closing: AbortSignal;
}

interface Caller {
  readonly key: string;
  readonly account: string;
}

type Handler = (requestId: string, fault: EmulatorFault | undefined) => Answer | Promise<Answer>;

/** Reads are too many to write the state after each: a killed process may forget the latest of their counts. */
const READS: ReadonlySet<Operation> = new Set(['query', 'list', 'download']);

/** A submit with wrong fields that was taken fails about so late, before speed: the documents say "within seconds". */
const VALIDATION_MS = 2000;

/** The provider's own paths, and those of its object store. */
export function providerRoutes(app: FastifyInstance, provider: Provider): void {
  const { tasks: book, uploads, results, limit, settings, now } = provider;
  const promptOf = (taskId: string): string | undefined => book.get(taskId)?.prompt;

  app.post('/api/v1/services/aigc/video-generation/video-synthesis', (request, reply) =>
    exchange(provider, 'submit', reply, promptIn(request.body), (requestId, fault) =>
      submit(provider, request, requestId, fault),
    ),
  );

  app.get<{ Params: { id: string } }>('/api/v1/tasks/:id', (request, reply) => {
    const { id } = request.params;
    return exchange(provider, 'query', reply, promptOf(id), (requestId, fault) =>
      query(provider, request, id, requestId, fault),
    );
  });

  app.get('/api/v1/tasks', (request, reply) =>
    exchange(provider, 'list', reply, undefined, (request_id) => {
      const { account } = authorize(request, settings());
      refuseAsync(request);
      if (settings().list_refused) throw new ApiError(403, 'AccessDenied', 'Access denied.');
      limit.pass('list', account, settings().query_rate);
      const page = listTasks(book, request.query as Record<string, string>, account, settings(), now);
      return { status: 200, body: { ...page, request_id } };
    }),
  );

  app.post<{ Params: { id: string } }>('/api/v1/tasks/:id/cancel', (request, reply) => {
    const { id } = request.params;
    return exchange(provider, 'cancel', reply, promptOf(id), (request_id) => {
      const { account } = authorize(request, settings());
      limit.pass('cancel', account, settings().query_rate);
      book.cancel(book.find(id, account));
      return { status: 200, body: { request_id } };
    });
  });

  app.get('/api/v1/uploads', (request, reply) =>
    exchange(provider, 'policy', reply, undefined, (request_id) => {
      const { account } = authorize(request, settings());
      const { action, model = '' } = request.query as Record<string, string>;
      if (action !== 'getPolicy') throw new ApiError(400, 'InvalidParameter', 'action must be getPolicy');
      if (!settings().models.includes(model)) throw new ApiError(404, 'ModelNotFound', 'Model not exist.');
      limit.pass(`policy:${model}`, account, settings().policy_rate);
      return { status: 200, body: { request_id, data: uploads.policy(model, account, originOf(request)) } };
    }),
  );

  app.post('/oss-upload', (request, reply) =>
    exchange(provider, 'upload', reply, undefined, () => {
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      return uploads.store(request.headers['content-type'] ?? '', body);
    }),
  );

  app.route({
    method: ['GET', 'HEAD'],
    url: '/results/*',
    handler: (request, reply) => {
      book.advance();
      const path = request.url.split('?')[0] ?? '';
      const id = /([^/]+)\.mp4$/.exec(path)?.[1] ?? '';
      const { Expires: expires = '', Signature: signature = '' } = request.query as Record<string, string>;
      const ifMatch = header(request, 'if-match');
      return exchange(provider, 'download', reply, promptOf(id), () =>
        results.download({ path, expires, signature, range: request.headers.range, ifMatch }, book.get(id)),
      );
    },
  });
}

/** Counts a request and answers it under the fault that waits for it. */
async function exchange(
  provider: Provider,
  on: Operation,
  reply: FastifyReply,
  prompt: string | undefined,
  handle: Handler,
): Promise<FastifyReply> {
  const { counters, faults, settings, now, save, closing } = provider;
  const requestId = randomUUID();
  counters[COUNTER[on]]++;
  if (!READS.has(on)) save();
  const t = now();
  reply.header('date', new Date(t + settings().date_skew_ms).toUTCString());
  if (on === 'upload' || on === 'download') reply.header('x-oss-request-id', requestId);
  else {
    // As in a recorded exchange; there a query carried no x-request-id.
    if (on !== 'query') reply.header('x-request-id', requestId);
    reply.headers({ 'req-arrive-time': String(t), 'resp-start-time': String(t), 'x-dashscope-call-gateway': 'true' });
  }
  const fault = faults.take(on, prompt);
  const run = async (): Promise<Answer> => {
    try {
      return await handle(requestId, fault);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 429) counters.throttled++;
      return refusal(error, requestId);
    }
  };
  const throttleCode = settings().throttle_code;
  return answer({ fault, reply, requestId, throttleCode, now, closing, run });
}

function submit(
  provider: Provider,
  request: FastifyRequest,
  request_id: string,
  fault: EmulatorFault | undefined,
): Answer {
  const { tasks: book, uploads, limit, settings } = provider;
  const { key, account } = authorize(request, settings());
  if (header(request, 'x-dashscope-async') !== 'enable') {
    throw new ApiError(403, 'AccessDenied', 'current user api does not support synchronous calls.');
  }
  limit.pass('submit', account, settings().submit_rate);
  const { models, unknown_parameters, validation, beyond_slots, body_max_bytes } = settings();
  if (body_max_bytes !== null && Buffer.isBuffer(request.body) && request.body.length > body_max_bytes) {
    throw new ApiError(400, 'BadRequest.TooLarge', 'Payload Too Large');
  }
  const { model, input, parameters, image, wrong } = readSubmit(parseObject(request.body), {
    models,
    unknownParameters: unknown_parameters,
    resolvesOss: header(request, 'x-dashscope-ossresourceresolve') === 'enable',
    upload: (name) => {
      const upload = uploads.get(name);
      return upload?.account === account ? upload : undefined;
    },
  });
  if (wrong !== undefined && validation === 'submit') throw wrong;
  if (beyond_slots === 'refuse' && book.isFull(account)) throw throttled(settings());
  const late = wrong === undefined ? undefined : { code: wrong.code, message: wrong.message };
  const task = book.create({
    request_id,
    source: 'api',
    account,
    key,
    workspace: header(request, 'x-dashscope-workspace') ?? null,
    model,
    input,
    parameters,
    image,
    picture: wrong === undefined ? pictureAtHand(provider, String(input['img_url'])) : null,
    failure: late ?? (fault?.fault === 'task-failed' ? failureOf(fault) : null),
    render_ms: late === undefined ? undefined : VALIDATION_MS,
  });
  if (wrong === undefined) fetchPicture(provider, task, String(input['img_url']));
  return { status: 200, body: { output: { task_status: 'PENDING', task_id: task.task_id }, request_id } };
}

/** The picture of a data URI or of an upload, where results show it. */
function pictureAtHand({ pictures, uploads, settings }: Provider, url: string): string | null {
  if (settings().clip !== 'picture') return null;
  if (url.startsWith('oss://')) return uploads.get(url.slice('oss://'.length))?.picture ?? null;
  const encoded = /^data:[^,]*;base64,/i.exec(url)?.[0];
  return encoded === undefined ? null : pictures.keep(Buffer.from(url.slice(encoded.length), 'base64'));
}

/** Begins to fetch the picture behind an address, as the service does after its answer; the result waits for it. */
function fetchPicture({ pictures, results, settings, save, closing }: Provider, task: EmulatorTask, url: string): void {
  if (settings().clip !== 'picture' || !/^https?:/i.test(url)) return;
  const arriving = pictures.fetch(url, closing).then((picture) => {
    task.picture = picture;
    save();
  });
  results.expect(task, arriving);
}

function query(
  { tasks: book, results, limit, settings }: Provider,
  request: FastifyRequest,
  id: string,
  request_id: string,
  fault: EmulatorFault | undefined,
): Answer {
  const { account } = authorize(request, settings());
  refuseAsync(request);
  limit.pass('query', account, settings().query_rate);
  const headers = { 'content-type': 'application/json;charset=UTF-8' };
  const task = book.find(id, account);
  if (task === undefined || fault?.fault === 'unknown') {
    const output = { task_id: id, task_status: 'UNKNOWN' };
    return { status: 200, body: { request_id, output }, headers };
  }
  if (task.status === 'RUNNING') results.prepare(task);
  if (fault?.fault === 'task-failed' && !isOver(task)) book.change(task, { status: 'FAILED', ...failureOf(fault) });
  const videoUrl = new URL(results.address(task), settings().result_origin ?? originOf(request)).href;
  const { output, usage } = describeTask(task, videoUrl, settings());
  if (fault?.fault !== 'override')
    return { status: 200, body: { request_id, output, ...(usage && { usage }) }, headers };
  const body: Json = { request_id, output: altered(output, fault.output) };
  if (usage !== undefined || fault.usage !== undefined) body['usage'] = altered(usage ?? {}, fault.usage);
  return { status: 200, body, headers };
}

/** The object with members put in, and taken out where the change says null. */
function altered(object: Json, change: Json = {}): Json {
  const all = Object.entries({ ...object, ...change });
  return Object.fromEntries(all.filter(([name, value]) => value !== null || !(name in change)));
}

function authorize(request: FastifyRequest, { api_keys, accounts }: EmulatorSettings): Caller {
  const key = /^Bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1];
  if (key === undefined) throw new ApiError(401, 'InvalidApiKey', 'No API-key provided.');
  if (api_keys !== null && !api_keys.includes(key)) {
    throw new ApiError(401, 'InvalidApiKey', 'Invalid API-key provided.');
  }
  return { key, account: Object.hasOwn(accounts, key) ? (accounts[key] ?? 'default') : 'default' };
}

function refuseAsync(request: FastifyRequest): void {
  if (header(request, 'x-dashscope-async') === 'enable') {
    throw new ApiError(403, 'AccessDenied', 'current user api does not support asynchronous calls.');
  }
}

function failureOf({ code, message }: EmulatorFault): TaskFailure {
  return { ...(code !== undefined && { code }), ...(message !== undefined && { message }) };
}

/** The prompt of a submit, for the faults that look at it; a body that is none is refused later. */
function promptIn(body: unknown): string {
  try {
    const { input } = parseObject(body);
    return isObject(input) ? String(input['prompt'] ?? '') : '';
  } catch {
    return '';
  }
}

import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { COUNTER_OF } from './counters.js';
import { driftResponse } from './drift.js';
import { respond } from './fault-injection.js';
import type { EmulatorFault } from './faults.js';
import type { Operation } from './operation.js';
import type { Provider } from './provider.js';
import { throttlingError } from './rate-limiter.js';
import type { RequestSubject } from './request-filter.js';
import type { EmulatorSettings } from './settings.js';
import { readSubmit } from './submit-body.js';
import { type EmulatorTask, hasEnded, type TaskFailure } from './task.js';
import { describeTask, listTasks } from './task-view.js';
import { ApiError, errorResponse, type HttpResponse, headerOf, isObject, originOf, parseObject } from './wire.js';

/** Owner of a request's API key. */
interface Caller {
  readonly key: string;
  readonly account: string;
}

type Handler = (requestId: string, fault: EmulatorFault | undefined) => HttpResponse | Promise<HttpResponse>;

/** Reads are too frequent to save the state after each; a killed process may lose the latest of their counts. */
const READS: ReadonlySet<Operation> = new Set(['query', 'list', 'download']);

/** Rendering time of a task with invalid fields, before speed: the documents say that it fails "within seconds". */
const VALIDATION_MS = 2000;

/** Adds the provider's own paths and those of its object store. */
export function addProviderRoutes(app: FastifyInstance, provider: Provider): void {
  const { tasks, uploads, results, rateLimiter } = provider;

  app.post('/api/v1/services/aigc/video-generation/video-synthesis', (request, reply) =>
    exchange(provider, 'submit', reply, { prompt: promptIn(request.body) }, (requestId, fault) =>
      submit(provider, request, requestId, fault),
    ),
  );

  app.get<{ Params: { id: string } }>('/api/v1/tasks/:id', (request, reply) => {
    const { id } = request.params;
    return exchange(provider, 'query', reply, provider.subjectOf(id), (requestId, fault) =>
      query(provider, request, id, requestId, fault),
    );
  });

  app.get('/api/v1/tasks', (request, reply) =>
    exchange(provider, 'list', reply, {}, (request_id) => {
      const { settings } = provider;
      const { account } = authenticate(request, settings);
      refuseAsync(request);
      if (settings.list_refused) throw new ApiError(403, 'AccessDenied', 'Access denied.');
      rateLimiter.admit('list', account, settings.query_rate);
      const page = listTasks(tasks, request.query as Record<string, string>, account, settings, provider.now);
      return { status: 200, body: { ...page, request_id } };
    }),
  );

  app.post<{ Params: { id: string } }>('/api/v1/tasks/:id/cancel', (request, reply) => {
    const { id } = request.params;
    return exchange(provider, 'cancel', reply, provider.subjectOf(id), (request_id) => {
      const { settings } = provider;
      const { account } = authenticate(request, settings);
      rateLimiter.admit('cancel', account, settings.query_rate);
      tasks.cancel(tasks.find(id, account));
      return { status: 200, body: { request_id } };
    });
  });

  app.get('/api/v1/uploads', (request, reply) =>
    exchange(provider, 'policy', reply, {}, (request_id) => {
      const { settings } = provider;
      const { account } = authenticate(request, settings);
      const { action, model = '' } = request.query as Record<string, string>;
      if (action !== 'getPolicy') throw new ApiError(400, 'InvalidParameter', 'action must be getPolicy');
      if (!settings.models.includes(model)) throw new ApiError(404, 'ModelNotFound', 'Model not exist.');
      rateLimiter.admit(`policy:${model}`, account, settings.policy_rate);
      return { status: 200, body: { request_id, data: uploads.createPolicy(model, account, originOf(request)) } };
    }),
  );

  app.post('/oss-upload', (request, reply) =>
    exchange(provider, 'upload', reply, {}, () => {
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      return uploads.store(request.headers['content-type'] ?? '', body);
    }),
  );

  // The gateway's own clock, which runs on while `time_offset_ms` lets time pass for the tasks.
  app.head('/api/v1', (_request, reply) => {
    const { settings, now } = provider;
    const date = new Date(now() - settings.time_offset_ms + settings.date_skew_ms).toUTCString();
    return reply.code(404).header('date', date).send();
  });

  app.route({
    method: ['GET', 'HEAD'],
    url: '/results/*',
    handler: (request, reply) => {
      const path = request.url.split('?')[0] ?? '';
      const id = /([^/]+)\.mp4$/.exec(path)?.[1] ?? '';
      const query = request.query as Record<string, string>;
      const { Expires: expires = '', Signature: signature = '' } = query;
      const ifMatch = headerOf(request, 'if-match');
      const subject = { ...provider.subjectOf(id), isRedirected: query['hop'] !== undefined };
      return exchange(provider, 'download', reply, subject, (_requestId, fault) => {
        const patch = fault?.fault === 'patch' ? fault : undefined;
        return (
          redirectToSelf(request, query, fault) ??
          results.download({ path, expires, signature, range: request.headers.range, ifMatch, patch }, tasks.get(id))
        );
      });
    },
  });
}

/** Counts a request and answers it, under the fault that is queued for it, if any. */
async function exchange(
  provider: Provider,
  on: Operation,
  reply: FastifyReply,
  subject: RequestSubject,
  handler: Handler,
): Promise<FastifyReply> {
  const { counters, settings, now, closing } = provider;
  const requestId = randomUUID();
  counters[COUNTER_OF[on]]++;
  if (!READS.has(on)) provider.save();
  const t = now();
  reply.header('date', new Date(t + settings.date_skew_ms).toUTCString());
  if (on === 'upload' || on === 'download') reply.header('x-oss-request-id', requestId);
  else {
    // These are the headers of a recorded exchange, in which a query's answer had no x-request-id.
    if (on !== 'query') reply.header('x-request-id', requestId);
    reply.headers({ 'req-arrive-time': String(t), 'resp-start-time': String(t), 'x-dashscope-call-gateway': 'true' });
  }
  const fault = provider.faults.take(on, subject);
  const { drift: rules, seed, throttle_code: throttleCode } = settings;
  const changes = [...provider.drift.changesFor({ on, subject, rules, seed }), ...(fault?.changes ?? [])];
  let isCounted = false;
  const drift = (response: HttpResponse): HttpResponse => {
    const drifted = driftResponse(response, changes, `${seed}:${counters.drifted}`);
    if (drifted === response || isCounted) return drifted;
    isCounted = true;
    counters.drifted++;
    return drifted;
  };
  const handle = async (): Promise<HttpResponse> => {
    try {
      return drift(await handler(requestId, fault));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 429) counters.throttled++;
      return drift(errorResponse(error, requestId));
    }
  };
  return respond({ fault, reply, requestId, throttleCode, now, closing, drift, handle });
}

/**
 * Returns the redirect of a download to its own address, or undefined to serve it. The address counts the hops, so that
 * every follower of a chain gets the same answers.
 */
function redirectToSelf(
  { url }: FastifyRequest,
  query: Readonly<Record<string, string>>,
  fault: EmulatorFault | undefined,
): HttpResponse | undefined {
  const [hop, hops] = [Number(query['hop'] ?? 0), Number(query['hops'] ?? 0)];
  const isFirst = fault?.fault === 'redirect' && hop === 0;
  if (!isFirst && hop >= hops) return undefined;
  const { status = 302, origin = '' } = fault ?? {};
  const [address = ''] = url.split('&hop=');
  const location = `${isFirst ? origin : ''}${address}&hop=${hop + 1}&hops=${isFirst ? (fault.hops ?? 1) : hops}`;
  return { status, body: '', headers: { location } };
}

async function submit(
  provider: Provider,
  request: FastifyRequest,
  request_id: string,
  fault: EmulatorFault | undefined,
): Promise<HttpResponse> {
  const { tasks, uploads, rateLimiter, settings } = provider;
  const { key, account } = authenticate(request, settings);
  if (headerOf(request, 'x-dashscope-async') !== 'enable') {
    throw new ApiError(403, 'AccessDenied', 'current user api does not support synchronous calls.');
  }
  rateLimiter.admit('submit', account, settings.submit_rate);
  const { body_max_bytes } = settings;
  if (body_max_bytes !== null && Buffer.isBuffer(request.body) && request.body.length > body_max_bytes) {
    throw new ApiError(400, 'BadRequest.TooLarge', 'Payload Too Large');
  }
  const { model, input, parameters, image, invalid } = await readSubmit(parseObject(request.body), {
    models: settings.models,
    unknownParameters: settings.unknown_parameters,
    resolvesOss: headerOf(request, 'x-dashscope-ossresourceresolve') === 'enable',
    findUpload: (uploadKey) => {
      const upload = uploads.get(uploadKey);
      return upload?.account === account ? upload : undefined;
    },
  });
  if (invalid !== undefined && settings.validation === 'submit') throw invalid;
  if (settings.beyond_slots === 'refuse' && tasks.isFull(account)) throw throttlingError(settings);
  const imageUrl = String(input['img_url']);
  const spec = {
    request_id,
    source: 'api',
    account,
    key,
    workspace: headerOf(request, 'x-dashscope-workspace') ?? null,
    model,
    input,
    parameters,
    image,
  } as const;
  if (invalid !== undefined) {
    const failure = { code: invalid.code, message: invalid.message };
    return submitted(tasks.create({ ...spec, failure, render_ms: VALIDATION_MS }));
  }
  const failure = fault?.fault === 'task-failed' ? failureOf(fault) : null;
  const task = tasks.create({ ...spec, failure, picture: storedPicture(provider, imageUrl) });
  downloadPicture(provider, task, imageUrl);
  return submitted(task);
}

function submitted({ task_id, request_id }: EmulatorTask): HttpResponse {
  return { status: 200, body: { output: { task_status: 'PENDING', task_id }, request_id } };
}

/** Returns the picture of an upload or a data URI if results show it. */
function storedPicture({ pictures, uploads, settings }: Provider, url: string): string | null {
  if (settings.clip !== 'picture') return null;
  if (url.startsWith('oss://')) return uploads.get(url.slice('oss://'.length))?.picture ?? null;
  const prefix = /^data:[^,]*;base64,/i.exec(url)?.[0];
  return prefix === undefined ? null : pictures.store(Buffer.from(url.slice(prefix.length), 'base64'));
}

/** Starts to download the picture at an address, as the service does after its answer. The result waits for it. */
function downloadPicture(provider: Provider, task: EmulatorTask, url: string): void {
  if (provider.settings.clip !== 'picture' || !/^https?:/i.test(url)) return;
  const downloaded = provider.pictures.fetch(url, provider.closing).then((picture) => {
    task.picture = picture;
    provider.save();
  });
  provider.results.waitForPicture(task, downloaded);
}

function query(
  provider: Provider,
  request: FastifyRequest,
  id: string,
  request_id: string,
  fault: EmulatorFault | undefined,
): HttpResponse {
  const { tasks, results, rateLimiter, settings } = provider;
  const { account } = authenticate(request, settings);
  refuseAsync(request);
  rateLimiter.admit('query', account, settings.query_rate);
  const headers = { 'content-type': 'application/json;charset=UTF-8' };
  const task = tasks.find(id, account);
  if (task === undefined || fault?.fault === 'unknown') {
    const output = { task_id: id, task_status: 'UNKNOWN' };
    return { status: 200, body: { request_id, output }, headers };
  }
  if (task.status === 'RUNNING') results.prerender(task);
  if (fault?.fault === 'task-failed' && !hasEnded(task)) tasks.change(task, { status: 'FAILED', ...failureOf(fault) });
  const videoUrl = new URL(results.signedPath(task), settings.result_origin ?? originOf(request)).href;
  const answer = describeTask(task, videoUrl, settings);
  if (task.status === 'SUCCEEDED') provider.recordShownSucceeded(id);
  return { status: 200, body: { request_id, ...answer }, headers };
}

function authenticate(request: FastifyRequest, { api_keys, accounts }: EmulatorSettings): Caller {
  const key = /^Bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1];
  if (key === undefined) throw new ApiError(401, 'InvalidApiKey', 'No API-key provided.');
  if (api_keys !== null && !api_keys.includes(key)) {
    throw new ApiError(401, 'InvalidApiKey', 'Invalid API-key provided.');
  }
  return { key, account: Object.hasOwn(accounts, key) ? (accounts[key] ?? 'default') : 'default' };
}

function refuseAsync(request: FastifyRequest): void {
  if (headerOf(request, 'x-dashscope-async') === 'enable') {
    throw new ApiError(403, 'AccessDenied', 'current user api does not support asynchronous calls.');
  }
}

function failureOf({ code, message }: EmulatorFault): TaskFailure {
  return { ...(code !== undefined && { code }), ...(message !== undefined && { message }) };
}

/** Returns the prompt of a submit for the faults that compare it; an invalid body is refused later. */
function promptIn(body: unknown): string {
  try {
    const { input } = parseObject(body);
    return isObject(input) ? String(input['prompt'] ?? '') : '';
  } catch {
    return '';
  }
}

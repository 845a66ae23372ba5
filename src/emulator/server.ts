import { randomBytes, randomUUID } from 'node:crypto';
import fastify, { type FastifyInstance } from 'fastify';
import { type Clock, DAY } from './clock.js';
import { addControlRoutes } from './control-routes.js';
import { noCounters } from './counters.js';
import type { Emulator, EmulatorOptions } from './emulator.js';
import { FaultQueue } from './faults.js';
import { PictureStore } from './picture-store.js';
import { providerRoutes } from './provider-routes.js';
import { RateLimit } from './rate-limit.js';
import { ResultStore } from './result-store.js';
import { changedSettings, type EmulatorSettings, initialSettings } from './settings.js';
import { createSigner } from './signature.js';
import { loadState, STATE_VERSION, saveState } from './state-file.js';
import { parseExternalTask, parseTaskChange } from './task-control.js';
import { TaskRegistry } from './task-registry.js';
import { MAX_UPLOAD_MB, UploadStore } from './upload-store.js';
import { ApiError, refusal, send } from './wire.js';

/** Starts a local server that answers like Model Studio's video API, with a control interface under /_emulator. */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const { apiKeys, accounts, stateFile } = options;
  const initial = initialSettings({
    ...(apiKeys !== undefined && { api_keys: apiKeys }),
    ...(accounts !== undefined && { accounts }),
    ...options.settings,
  });
  let current = initial;
  let secret = randomBytes(16).toString('hex');
  const counters = noCounters();
  const settings = (): EmulatorSettings => current;
  const realNow = options.now ?? Date.now;
  const now: Clock = () => realNow() + current.time_offset_ms;
  const save = (): void => {
    if (stateFile === undefined) return;
    saveState(stateFile, { version: STATE_VERSION, secret, tasks: book.all(), uploads: uploads.all(), counters });
  };
  const signer = createSigner(() => secret);
  const book = new TaskRegistry(now, settings, save);
  const pictures = new PictureStore(stateFile === undefined ? undefined : `${stateFile}.pictures`);
  const uploads = new UploadStore(now, signer, save, (bytes) =>
    current.clip === 'picture' ? pictures.keep(bytes) : null,
  );
  const results = new ResultStore(now, signer, pictures);
  const faults = new FaultQueue();
  const limit = new RateLimit(now, settings);
  const saved = stateFile === undefined ? undefined : loadState(stateFile);
  if (saved !== undefined) {
    secret = saved.secret;
    book.restore(saved.tasks);
    uploads.restore(saved.uploads);
    Object.assign(counters, saved.counters);
    const t = now();
    const needed = [
      ...saved.tasks.filter(({ end_ms }) => end_ms === null || t - end_ms <= DAY),
      ...saved.uploads.filter(({ expires_ms }) => expires_ms > t),
    ].map(({ picture }) => picture);
    pictures.retain(new Set(needed.filter((name) => name !== null)));
  }

  const app = createServer();
  const closing = new AbortController();
  const control: Omit<Emulator, 'baseUrl' | 'origin'> = {
    state() {
      book.advance();
      const tasks = structuredClone(book.all());
      return { tasks, ...counters, billed_seconds: tasks.reduce((sum, task) => sum + task.billed_seconds, 0) };
    },
    changeSettings(change) {
      const next = changedSettings(current, change);
      const t = book.advance();
      if (next.speed !== current.speed) book.rescale(current.speed, next.speed);
      current = next;
      book.advance(t); // a slot that is new is new from now on, not from the past
      save();
      return structuredClone(current);
    },
    queueFaults: (fault) => faults.add(fault),
    queuedFaults: () => faults.all(),
    clearFaults: () => faults.clear(),
    addTask(task) {
      const { prompt, parameters = {}, account = 'default', model, age_ms, image } = parseExternalTask(task);
      const made = book.create({
        request_id: randomUUID(),
        source: 'control',
        account,
        key: 'other-software',
        workspace: null,
        model: model ?? current.models[0] ?? '',
        input: { prompt },
        parameters,
        image,
        age_ms,
      });
      return structuredClone(made);
    },
    changeTask(taskId, change) {
      const task = book.get(taskId);
      if (task === undefined) throw new ApiError(404, 'NotFound', `no task ${taskId}`);
      book.change(task, parseTaskChange(change));
      return structuredClone(task);
    },
    reset() {
      book.clear();
      uploads.clear();
      results.clear();
      pictures.retain(new Set());
      faults.clear();
      limit.reset();
      Object.assign(counters, noCounters());
      current = initial;
      save();
    },
    async close() {
      closing.abort();
      save();
      await results.close();
      await app.close();
    },
  };

  const host = options.host ?? '127.0.0.1';
  let origin = '';
  const emulator: Emulator = {
    ...control,
    get origin() {
      return origin;
    },
    get baseUrl() {
      return `${origin}/api/v1`;
    },
  };
  const room = {
    tasks: book,
    uploads,
    pictures,
    results,
    faults,
    limit,
    counters,
    settings,
    now,
    save,
    closing: closing.signal,
  };
  providerRoutes(app, room);
  addControlRoutes(app, emulator);
  await app.listen({ port: options.port ?? 0, host });
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  origin = `http://${name}:${port}`;
  return emulator;
}

function createServer(): FastifyInstance {
  const app = fastify({
    bodyLimit: (MAX_UPLOAD_MB + 10) * 1024 * 1024, // the form around the largest file is far below 10 MiB
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: true },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setNotFoundHandler((_request, reply) =>
    send(reply, refusal(new ApiError(404, 'NotFound', 'Not found.'), randomUUID())),
  );
  app.setErrorHandler((error: { statusCode?: number; message: string }, _request, reply) =>
    send(reply, refusal(asApiError(error), randomUUID())),
  );
  return app;
}

function asApiError(error: { statusCode?: number; message: string }): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof SyntaxError) return new ApiError(400, 'InvalidParameter', error.message);
  const status = error.statusCode ?? 500;
  if (status === 413) return new ApiError(400, 'BadRequest.TooLarge', 'Payload Too Large');
  return new ApiError(status, status < 500 ? 'InvalidParameter' : 'InternalError', error.message);
}

import { randomBytes, randomUUID } from 'node:crypto';
import fastify, { type FastifyInstance } from 'fastify';
import { type Clock, DAY } from './clock.js';
import { checkForeignTask, checkTaskChange, controlRoutes, type ForeignTask } from './control.js';
import { type Counters, noCounters } from './counters.js';
import { type EmulatorFault, FaultQueue } from './faults.js';
import { PictureShelf } from './picture-store.js';
import { providerRoutes } from './provider-routes.js';
import { RateLimit } from './rate-limit.js';
import { ResultStore } from './results.js';
import { changedSettings, type EmulatorSettings, initialSettings } from './settings.js';
import { createSigner } from './signature.js';
import { loadState, STATE_VERSION, saveState } from './state-file.js';
import type { EmulatorTask, TaskChange } from './task.js';
import { TaskBook } from './tasks.js';
import { MAX_UPLOAD_MB, UploadShelf } from './uploads.js';
import { ApiError, refusal, send } from './wire.js';

/** What happened so far. */
export interface EmulatorState extends Counters {
  /** Oldest submit first. */
  tasks: EmulatorTask[];
  /** Seconds of video charged in all. */
  billed_seconds: number;
}

/** How to start an emulator. */
export interface EmulatorOptions {
  /** TCP port; default: a free one. */
  port?: number;
  /** Address to listen on; default 127.0.0.1. */
  host?: string;
  /** The setting `api_keys`: accepted keys; default: every one that is not empty. */
  apiKeys?: string[];
  /** The setting `accounts`: account by key; keys not named belong to the account "default". */
  accounts?: Record<string, string>;
  /** Deviations from the default settings. */
  settings?: Partial<EmulatorSettings>;
  /** File in which tasks and uploads survive the end of the process; pictures lie in a folder beside it. */
  stateFile?: string;
  /** Clock in epoch milliseconds; `time_offset_ms` is added to it. */
  now?: () => number;
}

/**
 * A running emulator. The methods refuse what they do not know: they throw an error that names the field, so that a
 * misspelt one does not silently do nothing.
 */
export interface Emulator {
  /** Provider base, e.g. http://127.0.0.1:1234/api/v1. */
  readonly baseUrl: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** The state as of now. */
  state(): EmulatorState;
  /** Changes settings and returns all of them; a new speed applies to the remaining time of running tasks. */
  settings(change: Partial<EmulatorSettings>): EmulatorSettings;
  /** Queues faults. */
  faults(fault: EmulatorFault | EmulatorFault[]): void;
  /** The faults that are still to come. */
  queuedFaults(): EmulatorFault[];
  /** Drops the faults that are still to come. */
  clearFaults(): void;
  /** Makes a task as other software of the account would. */
  addTask(task: ForeignTask): EmulatorTask;
  /** Ends, forgets or remembers a task behind its client's back. */
  changeTask(taskId: string, change: TaskChange): EmulatorTask;
  /** Forgets tasks, uploads, faults and counters and restores the settings of the start. */
  reset(): void;
  /** Stops listening; open connections are closed. */
  close(): Promise<void>;
}

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
  const book = new TaskBook(now, settings, save);
  const pictures = new PictureShelf(stateFile === undefined ? undefined : `${stateFile}.pictures`);
  const uploads = new UploadShelf(now, signer, save, (bytes) =>
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
    settings(change) {
      const next = changedSettings(current, change);
      const t = book.advance();
      if (next.speed !== current.speed) book.rescale(current.speed, next.speed);
      current = next;
      book.advance(t); // a slot that is new is new from now on, not from the past
      save();
      return structuredClone(current);
    },
    faults: (fault) => faults.add(fault),
    queuedFaults: () => faults.all(),
    clearFaults: () => faults.clear(),
    addTask(task) {
      const { prompt, parameters = {}, account = 'default', model, age_ms, image } = checkForeignTask(task);
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
      book.change(task, checkTaskChange(change));
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
    book,
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
  controlRoutes(app, emulator);
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

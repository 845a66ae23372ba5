import { randomUUID } from 'node:crypto';
import fastify, { type FastifyInstance } from 'fastify';
import { addControlRoutes } from './control-routes.js';
import type { Emulator, EmulatorOptions } from './emulator.js';
import { Provider } from './provider.js';
import { addProviderRoutes } from './provider-routes.js';
import { MAX_UPLOAD_MB } from './upload-store.js';
import { ApiError, errorResponse, send } from './wire.js';

const OPTIONS = Object.keys({
  port: true,
  host: true,
  apiKeys: true,
  accounts: true,
  settings: true,
  stateFile: true,
  now: true,
} satisfies Record<keyof EmulatorOptions, true>);

/**
 * Starts a local server that answers like Model Studio's video API, with a control interface under `/_emulator`.
 * @throws Error for invalid settings, a damaged state file, or a port that is in use.
 * @example
 * ```ts
 * const emulator = await startEmulator({ settings: { speed: 100 } });
 * process.env.DASHSCOPE_HTTP_BASE_URL = emulator.baseUrl;
 * ```
 */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const unknown = Object.keys(options).filter((name) => !OPTIONS.includes(name));
  if (unknown.length > 0) throw new Error(`startEmulator has no option ${unknown.join(', ')}: ${OPTIONS.join(', ')}`);
  const provider = new Provider(options);
  const app = createServer();
  let origin = '';
  const emulator: Emulator = {
    get origin() {
      return origin;
    },
    get baseUrl() {
      return `${origin}/api/v1`;
    },
    state: () => provider.state(),
    changeSettings: (change) => provider.changeSettings(change),
    queueFaults: (faults) => provider.faults.add(faults),
    queuedFaults: () => provider.faults.all(),
    clearFaults: () => provider.faults.clear(),
    addTask: (task) => provider.addTask(task),
    changeTask: (taskId, change) => provider.changeTask(taskId, change),
    reset: () => provider.reset(),
    async close() {
      await provider.close();
      await app.close();
    },
  };
  addProviderRoutes(app, provider);
  addControlRoutes(app, emulator);
  const { host = '127.0.0.1', port = 0 } = options;
  await app.listen({ host, port });
  const address = app.server.address();
  origin = originAt(host, typeof address === 'object' && address !== null ? address.port : port);
  return emulator;
}

/** Returns the origin at which a local client reaches the server. */
function originAt(host: string, port: number): string {
  const isEveryAddress = host === '0.0.0.0' || host === '::';
  if (isEveryAddress) return `http://127.0.0.1:${port}`;
  return host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`;
}

function createServer(): FastifyInstance {
  const app = fastify({
    bodyLimit: (MAX_UPLOAD_MB + 10) * 1024 * 1024, // The form around the largest upload is far below 10 MiB.
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: true },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setNotFoundHandler((_request, reply) =>
    send(reply, errorResponse(new ApiError(404, 'NotFound', 'Not found.'), randomUUID())),
  );
  app.setErrorHandler((error: { statusCode?: number; message: string }, _request, reply) =>
    send(reply, errorResponse(asApiError(error), randomUUID())),
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

import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { request } from 'undici';
import type { ListenAddress } from '../config/config.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { WorkerHealth } from './health.js';

/** Temporal's metrics come from this process over loopback; without them ours are served alone. */
const TEMPORAL_BOUND_MS = 2_000;

/**
 * Most connections at the same time; Prometheus and two probes hold one each. Further ones are closed, so that nobody
 * who reaches the port can take the file descriptors that downloads and uploads need.
 */
const CONNECTIONS_MAX = 100;

/** Bounds in milliseconds on the arrival of a request's headers and of all of it. A scrape sends both in one packet. */
const REQUEST_BOUNDS = { headersTimeout: 5_000, requestTimeout: 10_000, connectionsCheckingInterval: 1_000 } as const;

const TEXT = 'text/plain; charset=utf-8';
/** Prometheus' text format, version 0.0.4. */
const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';

/** What is served. */
export interface TelemetrySources {
  /** Our own metrics, in Prometheus' text format. */
  readonly metrics: () => Promise<string>;
  /** Address of the metrics of this process's Temporal runtime; undefined: none. */
  readonly temporalMetrics: string | undefined;
  readonly health: WorkerHealth;
}

/** A running server of metrics and health. */
export interface TelemetryServer {
  close(): Promise<void>;
}

/**
 * Serves `/metrics` (ours and Temporal's), `/healthz` (200 unless the process must be replaced, else 503 with the
 * reason) and `/readyz` (200 when it can work, else 503, with each condition). There is no sign-in: nothing served is
 * secret, and the address decides who can reach it.
 * @throws VideoError `ConfigurationInvalid` when the address cannot be listened on.
 */
export async function startTelemetryServer(
  { host, port }: ListenAddress,
  sources: TelemetrySources,
): Promise<TelemetryServer> {
  const server = createServer(REQUEST_BOUNDS, ({ method, url }, response) => {
    void answer(method ?? '', pathOf(url ?? ''), response, sources).catch(() => {
      if (response.headersSent) response.destroy();
      else end(response, 500, TEXT, 'internal error\n');
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  // CONNECT comes as an event of its own; without an answer its sender would wait for one.
  server.on('connect', (_request, socket) => {
    socket
      .on('error', () => undefined)
      .end('HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `WAN_VIDEO_METRICS=${host}:${port} cannot be listened on: ${(cause as Error).message}`,
      { cause, nextStep: 'Give each worker of a host an address of its own, or leave WAN_VIDEO_METRICS out.' },
    );
  }
  // A connection that cannot be accepted (no file descriptor is left) is an event of the server; without a listener it
  // would end the process.
  server.on('error', () => undefined);
  // The server never keeps an otherwise finished process alive.
  server.unref();
  return {
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close').catch(() => undefined);
    },
  };
}

/**
 * The path of a request target (RFC 9112, section 3.2), as it was sent: `/path?query`, or a whole URL as proxies send
 * it.
 * @returns `undefined` for anything else, and for a URL that cannot be read.
 */
function pathOf(target: string): string | undefined {
  const path = /^https?:/i.test(target) && URL.canParse(target) ? new URL(target).pathname : target;
  return path.startsWith('/') ? path.split('?', 1)[0] : undefined;
}

async function answer(
  method: string,
  path: string | undefined,
  response: ServerResponse,
  { metrics, temporalMetrics, health }: TelemetrySources,
): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') return end(response, 405, TEXT, 'only GET\n');
  switch (path) {
    case '/metrics': {
      const [ours, theirs] = await Promise.all([metrics(), temporalMetrics === undefined ? '' : read(temporalMetrics)]);
      return end(response, 200, PROMETHEUS, ours + theirs);
    }
    case '/healthz':
      return end(response, health.fault === undefined ? 200 : 503, TEXT, `${health.fault ?? 'ok'}\n`);
    case '/readyz': {
      const readiness = await health.readiness();
      return end(response, readiness.ready ? 200 : 503, 'application/json', `${JSON.stringify(readiness)}\n`);
    }
    default:
      return end(response, 404, TEXT, 'there are /metrics, /healthz and /readyz\n');
  }
}

/** Temporal's metrics, or nothing. */
async function read(address: string): Promise<string> {
  try {
    const { statusCode, body } = await request(`http://${address}/metrics`, {
      signal: AbortSignal.timeout(TEMPORAL_BOUND_MS),
    });
    const text = await body.text();
    return statusCode === 200 ? text : '';
  } catch {
    return '';
  }
}

function end(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text);
}

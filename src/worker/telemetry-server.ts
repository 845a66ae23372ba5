import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { request } from 'undici';
import type { ListenAddress } from '../config/config.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { WorkerHealth } from './health.js';

/** Temporal's metrics come from this process over loopback; without them ours are served alone. */
const TEMPORAL_BOUND_MS = 2_000;

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
 * Serves `/metrics` (ours and Temporal's), `/healthz` (this process answers) and `/readyz` (200 when it can work, else
 * 503, with each condition). There is no sign-in: nothing served is secret, and the address decides who can reach it.
 * @throws VideoError `ConfigurationInvalid` when the address cannot be listened on.
 */
export async function startTelemetryServer(
  { host, port }: ListenAddress,
  sources: TelemetrySources,
): Promise<TelemetryServer> {
  const server = createServer(({ method, url }, response) => {
    void answer(method ?? '', new URL(url ?? '/', 'http://localhost').pathname, response, sources).catch(() =>
      end(response, 500, TEXT, 'internal error\n'),
    );
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

async function answer(
  method: string,
  path: string,
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
      return end(response, 200, TEXT, 'ok\n');
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

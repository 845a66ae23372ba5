import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Client } from '@temporalio/client';
import { afterEach, describe, expect, test } from 'vitest';
import { WanVideoClient } from '../../src/client/video-client.js';
import { loadConfig } from '../../src/config/config.js';
import { readTracing } from '../../src/config/tracing.js';
import { VideoError } from '../../src/contract/video-error.js';
import { type RequestFacts, untraced } from '../../src/dashscope/request-trace.js';
import { quietTracer } from '../../src/tracing/quiet-spans.js';
import { requestSpans } from '../../src/tracing/request-spans.js';
import { startSdk } from '../../src/tracing/start-sdk.js';
import type { Tracing } from '../../src/tracing/tracing.js';
import { runWorker } from '../../src/worker/run-worker.js';
import { ROOT } from '../support/root.js';

const RECEIVER = 'http://localhost:4318';

describe('tracing', () => {
  test.each([
    { env: {}, on: undefined },
    { env: { OTEL_EXPORTER_OTLP_ENDPOINT: '' }, on: undefined },
    { env: { OTEL_EXPORTER_OTLP_ENDPOINT: RECEIVER }, on: 'OTEL_EXPORTER_OTLP_ENDPOINT' },
    { env: { OTEL_EXPORTER_OTLP_ENDPOINT: RECEIVER, OTEL_SDK_DISABLED: 'true' }, on: undefined },
    { env: { OTEL_EXPORTER_OTLP_ENDPOINT: RECEIVER, OTEL_TRACES_EXPORTER: 'none' }, on: undefined },
    {
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: RECEIVER, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${RECEIVER}/v1/traces` },
      on: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    },
  ])('is on by $on with $env', ({ env, on }) => {
    const issues: string[] = [];
    expect(readTracing(env, (variable) => issues.push(variable))?.variable).toBe(on);
    expect(issues).toEqual([]);
  });

  test.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost:4318'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'not an address'],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'ftp://receiver'],
    ['OTEL_SDK_DISABLED', 'yes'],
    ['OTEL_PROPAGATORS', 'b3'],
  ])('refuses %s=%s by name, before anything is connected', async (name, value) => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: RECEIVER, [name]: value };
    const refused = { type: 'ConfigurationInvalid', issues: [expect.objectContaining({ path: name })] };
    expect(() => loadConfig(env, { cwd: '/', homeDir: '/' })).toThrow(expect.objectContaining(refused));
    await expect(runWorker({ env })).rejects.toMatchObject(refused);
    await expect(WanVideoClient.fromEnv({ env })).rejects.toMatchObject(refused);
  });

  test('needs its receiver in the variables of the process, where OpenTelemetry reads it', () => {
    const settings = { variable: 'OTEL_EXPORTER_OTLP_ENDPOINT', endpoint: RECEIVER };
    expect(() => startSdk(settings)).toThrow(/OTEL_EXPORTER_OTLP_ENDPOINT is not the one of the process/);
  });

  test.each([{}, 'a provider', { getTracer: 1 }])('refuses the tracerProvider %j by name', async (tracerProvider) => {
    const refused = { type: 'ConfigurationInvalid', issues: [expect.objectContaining({ path: 'tracerProvider' })] };
    const client = { workflow: {} } as Client;
    expect(() => new WanVideoClient({ client, tracerProvider: tracerProvider as never })).toThrow(
      expect.objectContaining(refused),
    );
    await expect(runWorker({ tracerProvider: tracerProvider as never })).rejects.toMatchObject(refused);
  });

  test('refuses a provider while OpenTelemetry has not been started: no call would hand its trace on', () => {
    const tracerProvider = { getTracer: () => ({}) };
    expect(() => new WanVideoClient({ client: { workflow: {} } as Client, tracerProvider })).toThrow(
      expect.objectContaining({ type: 'ConfigurationInvalid', message: expect.stringContaining('context manager') }),
    );
  });
});

test('a worker and a client that do not trace load nothing of it', async () => {
  // What Prometheus' client brings is the same with and without tracing.
  const code = `import { createRequire } from 'node:module';
    for (const entry of ['worker', 'client']) await import(new URL('dist/src/' + entry + '/index.js', process.argv[1]));
    const { cache } = createRequire(process.argv[1]);
    const loaded = Object.keys(cache).filter((file) => file.includes('opentelemetry'));
    console.log(Object.keys(cache).length > 100, loaded.filter((file) => !file.includes('@opentelemetry/api/')));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', code, pathToFileURL(`${ROOT}/`).href],
    { encoding: 'utf8' },
  );
  expect(stdout.trim()).toBe('true []');
});

/** A tracer that keeps what is said of its spans. */
function keepingTracer() {
  const kept: Record<string, unknown>[] = [];
  const startSpan = (name: string, options: { attributes?: object } = {}) => {
    const attributes: Record<string, unknown> = { ...options.attributes };
    const span = { name, attributes, status: {} as object, ended: false };
    kept.push(span);
    const made = {
      setAttribute: (key: string, value: unknown) => {
        attributes[key] = value;
        return made;
      },
      setAttributes: (more: object) => Object.assign(attributes, more),
      setStatus: (status: object) => Object.assign(span, { status }),
      recordException: (error: Error) => Object.assign(attributes, { message: error.message }),
      end: () => Object.assign(span, { ended: true }),
    };
    return made;
  };
  const tracer = {
    startSpan,
    startActiveSpan: (name: string, ...rest: unknown[]) => {
      const run = rest.at(-1) as (span: object) => unknown;
      return run(startSpan(name, rest.length > 1 ? (rest[0] as object) : {}));
    },
  };
  return { kept, tracer: quietTracer(tracer as never) };
}

describe('spans', () => {
  const { kept, tracer } = keepingTracer();
  const api = { SpanKind: { CLIENT: 2 }, SpanStatusCode: { ERROR: 2 } };
  const trace = requestSpans({ api, tracer } as unknown as Tracing);
  afterEach(() => void kept.splice(0));

  test('say of an error its published type, and nothing of its message', () => {
    const error = new VideoError('ImageUnreachable' as never, 'GET https://host/secret.png: a secret prompt');
    tracer.startActiveSpan('step', (span) => {
      span.setStatus({ code: 2, message: error.message });
      span.recordException(error as Error);
      span.end();
    });
    expect(kept).toEqual([
      { name: 'step', attributes: { 'error.type': 'ImageUnreachable' }, status: { code: 2 }, ended: true },
    ]);
  });

  test('of a request have operation, model, task, outcome and oddities', async () => {
    const note: RequestFacts = { taskId: 't', requestId: 'r', outcome: 'accepted', oddities: ['usage.SR: text'] };
    await trace('submit', { model: 'm' }, async (add) => add(note));
    expect(kept[0]).toMatchObject({
      name: 'provider submit',
      ended: true,
      attributes: {
        'wan_video.operation': 'submit',
        'wan_video.model': 'm',
        'wan_video.task_id': 't',
        'wan_video.request_id': 'r',
        'wan_video.outcome': 'accepted',
        'wan_video.oddities': ['usage.SR: text'],
      },
    });
  });

  test('of a request that fails have the type of the error, which is passed on as it is', async () => {
    const error = new VideoError('ProviderThrottled' as never, 'slow down');
    await expect(trace('query', { taskId: 't' }, () => Promise.reject(error))).rejects.toBe(error);
    expect(kept[0]).toMatchObject({
      ended: true,
      status: { code: 2 },
      attributes: { 'wan_video.task_id': 't', 'wan_video.outcome': 'ProviderThrottled' },
    });
  });

  test('are not made while tracing is off', async () => {
    await expect(untraced('query', {}, async (add) => add({ outcome: 'x' }))).resolves.toBeUndefined();
    expect(kept).toEqual([]);
  });
});

import type { TracingSettings } from '../config/tracing.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { loadPackage, type OpenTelemetryApi, type OpenTelemetrySdk } from './packages.js';

/** Longest wait for the receiver at the end of a process, in milliseconds. */
const FLUSH_MS = 3_000;
const SERVICE = 'wan-video';

/** What the SDK that was started here makes spans with. */
let started: object | undefined;

/**
 * Starts OpenTelemetry's own SDK, which reads its variables from the process. Only our spans go through it.
 * @throws VideoError `ConfigurationInvalid` when the receiver is named in other variables than those of the process.
 */
export function startSdk({ variable, endpoint }: TracingSettings): void {
  if (process.env[variable]?.trim() !== endpoint) {
    throw new VideoError(FailureType.ConfigurationInvalid, `${variable} is not the one of the process`, {
      issues: [{ path: variable, message: 'must be set for the process, where OpenTelemetry reads it' }],
      nextStep: `Set ${variable} for the process, or hand in a tracerProvider.`,
    });
  }
  // By default the resource of every span would hold the command line, in which a prompt may be.
  process.env['OTEL_NODE_RESOURCE_DETECTORS'] ??= 'env,serviceinstance';
  const { NodeSDK } = loadPackage<OpenTelemetrySdk>('@opentelemetry/sdk-node');
  new NodeSDK({
    ...(!isNamed() && { serviceName: SERVICE }),
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  }).start();
  started = loadPackage<OpenTelemetryApi>('@opentelemetry/api').trace.getTracerProvider();
}

const isNamed = (): boolean =>
  Boolean(process.env['OTEL_SERVICE_NAME']) || /\bservice\.name=/.test(process.env['OTEL_RESOURCE_ATTRIBUTES'] ?? '');

/**
 * Sends the spans that have ended, if an SDK was started here; for the end of a worker, a client or a command. It ends
 * without the receiver as well.
 */
export async function flushTracing(): Promise<void> {
  if (started === undefined) return;
  const { getDelegate } = started as { getDelegate?: () => { forceFlush?: () => Promise<void> } };
  const flushing = getDelegate
    ?.call(started)
    .forceFlush?.()
    .catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FLUSH_MS);
  });
  await Promise.race([flushing, late]);
  clearTimeout(timer);
}

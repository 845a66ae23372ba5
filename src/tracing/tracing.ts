import type { Tracer, TracerProvider } from '@opentelemetry/api';
import type { TracingSettings } from '../config/tracing.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { loadPackage, type OpenTelemetryApi, type TemporalInterceptors } from './packages.js';
import { quietTracer } from './quiet-spans.js';
import type { SpanSource } from './span-source.js';
import { startSdk } from './start-sdk.js';

/** What spans are made with. */
export interface Tracing {
  readonly api: OpenTelemetryApi;
  readonly interceptors: TemporalInterceptors;
  /** Spans that never hold the text of an error. */
  readonly tracer: Tracer;
}

const NAME = 'wan-video-temporal';

/**
 * Traces with what a program hands in.
 * @throws VideoError `ConfigurationInvalid` when a package is missing, or when nothing hands a trace on from call to
 * call, as OpenTelemetry's SDKs do once they are started.
 */
export function tracingWith(provider: SpanSource): Tracing {
  const api = loadPackage<OpenTelemetryApi>('@opentelemetry/api');
  const interceptors = loadPackage<TemporalInterceptors>('@temporalio/interceptors-opentelemetry');
  requireContext(api);
  return { api, interceptors, tracer: quietTracer((provider as TracerProvider).getTracer(NAME)) };
}

/**
 * Traces as the environment says. A program that has started an SDK of its own keeps it; otherwise one is started, once
 * per process.
 */
export function tracingFrom(settings: TracingSettings): Tracing {
  const api = loadPackage<OpenTelemetryApi>('@opentelemetry/api');
  if (!hasProvider(api)) startSdk(settings);
  return tracingWith(api.trace);
}

/** Whether a provider is registered: without one, spans have no valid ids. The probe never ends, so it is not sent. */
const hasProvider = ({ trace, isSpanContextValid }: OpenTelemetryApi): boolean =>
  isSpanContextValid(trace.getTracer(NAME).startSpan('probe', { root: true }).spanContext());

function requireContext({ context, propagation, ROOT_CONTEXT, createContextKey }: OpenTelemetryApi): void {
  const key = createContextKey('probe');
  const isKept = context.with(ROOT_CONTEXT.setValue(key, true), () => context.active().getValue(key) === true);
  if (isKept && propagation.fields().includes('traceparent')) return;
  const missing = isKept ? 'propagator for the header traceparent' : 'context manager';
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    `tracerProvider cannot be used: OpenTelemetry has no ${missing}`,
    {
      issues: [{ path: 'tracerProvider', message: `needs a registered ${missing}` }],
      nextStep: "Start OpenTelemetry's SDK first: NodeSDK's start() and a provider's register() register both.",
    },
  );
}

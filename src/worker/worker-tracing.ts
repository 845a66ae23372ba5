import type { OpenTelemetrySinks } from '@temporalio/interceptors-opentelemetry';
import type {
  ActivityInterceptorsFactory,
  InjectedSinks,
  NexusInterceptorsFactory,
  WorkerInterceptors,
} from '@temporalio/worker';
import type { RequestTrace } from '../dashscope/request-trace.js';
import { requestSpans } from '../tracing/request-spans.js';
import { type Tracing, tracingFrom, tracingWith } from '../tracing/tracing.js';
import { tracedCode } from './traced-code.js';
import type { ReadyOptions } from './worker-options.js';
import type { AddedCode } from './workflow-code.js';
import { workflowSpanSinks } from './workflow-spans.js';

/** What tracing adds to a worker. */
export interface WorkerTracing {
  readonly tracing: Tracing;
  /** What goes into the workflow code. */
  readonly code: AddedCode;
  /** Outermost of all: the step's span also has what the other interceptors do. */
  around(others: WorkerInterceptors): WorkerInterceptors;
  readonly sinks: InjectedSinks<OpenTelemetrySinks>;
  readonly request: RequestTrace;
  /** The active trace, as fields of a log line. */
  readonly ids: () => TraceIds;
}

interface TraceIds {
  readonly trace_id?: string;
  readonly span_id?: string;
}

/** @returns undefined while tracing is off: then nothing of it is loaded. */
export function workerTracing({ tracerProvider, config }: ReadyOptions): WorkerTracing | undefined {
  const tracing =
    tracerProvider === undefined ? config.tracing && tracingFrom(config.tracing) : tracingWith(tracerProvider);
  if (tracing === undefined) return undefined;
  const { api, interceptors, tracer } = tracing;
  const ids = (): TraceIds => {
    const active = api.trace.getActiveSpan()?.spanContext();
    if (active === undefined || !api.isSpanContextValid(active)) return {};
    return { trace_id: active.traceId, span_id: active.spanId };
  };
  const activity: ActivityInterceptorsFactory = (context) => {
    const spans = new interceptors.OpenTelemetryActivityInboundInterceptor(context, { tracer });
    let own: TraceIds = {};
    const execute: typeof spans.execute = (input, next) =>
      spans.execute(input, (given) => {
        own = ids();
        return next(given);
      });
    return {
      inbound: { execute },
      // The line that says how the step ended is written when its span is over.
      outbound: { getLogAttributes: (input, next) => next({ ...own, ...ids(), ...input }) },
    };
  };
  const nexus: NexusInterceptorsFactory = (context) => ({
    inbound: new interceptors.OpenTelemetryNexusInboundInterceptor(context, { tracer }),
    outbound: new interceptors.OpenTelemetryNexusOutboundInterceptor(context),
  });
  // A Nexus operation starts its run with the worker's own client.
  const starts = new interceptors.OpenTelemetryWorkflowClientInterceptor({ tracer });
  return {
    tracing,
    code: tracedCode(),
    around: ({ client, ...others }) => ({
      ...others,
      activity: [activity, ...(others.activity ?? [])],
      nexus: [nexus, ...(others.nexus ?? [])],
      client: { ...client, workflow: [starts, ...(Array.isArray(client?.workflow) ? client.workflow : [])] },
    }),
    sinks: workflowSpanSinks(tracing),
    request: requestSpans(tracing),
    ids,
  };
}

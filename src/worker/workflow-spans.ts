import type { SpanContext } from '@opentelemetry/api';
import type { OpenTelemetrySinks, SerializableSpan } from '@temporalio/interceptors-opentelemetry';
import type { InjectedSinks } from '@temporalio/worker';
import type { WorkflowInfo } from '@temporalio/workflow';
import type { Tracing } from '../tracing/tracing.js';

/**
 * The parts of a span that exporters read as its id and its parent's: version 2 of OpenTelemetry's SDK has
 * `parentSpanContext`, version 1 `parentSpanId`.
 */
interface PlacedSpan {
  spanContext: () => SpanContext;
  parentSpanContext?: SpanContext | undefined;
  parentSpanId?: string | undefined;
}

/**
 * Receives the spans of workflow code, which end in its sandbox, and ends each once more through the tracer of this
 * process: Temporal's own exporter hands them on in the form of version 1 of OpenTelemetry's SDK, and needs parts of a
 * provider that a handed-in one does not show. Of the run it keeps ids and names, of an error its kind.
 */
export function workflowSpanSinks(tracing: Tracing): InjectedSinks<OpenTelemetrySinks> {
  return {
    exporter: {
      export: {
        fn: (info, spans) => {
          for (const span of spans) endAgain(span, info, tracing);
        },
      },
    },
  };
}

function endAgain(span: SerializableSpan, info: WorkflowInfo, { api, tracer }: Tracing): void {
  const { traceState: state, ...ids } = span.spanContext;
  const spanContext = { ...ids, ...(state !== undefined && { traceState: api.createTraceState(state) }) };
  const { parentSpanId } = span;
  // A root is decided on in the sandbox: here it gets a parent, which is taken away again, so that no sampler decides
  // otherwise and it keeps its trace.
  const parent = { ...spanContext, spanId: parentSpanId ?? spanContext.spanId };
  const again = tracer.startSpan(
    span.name,
    {
      kind: span.kind,
      startTime: span.startTime,
      links: span.links,
      attributes: {
        ...span.attributes,
        temporalWorkflowId: info.workflowId,
        run_id: info.runId,
        'wan_video.workflow_type': info.workflowType,
      },
    },
    api.trace.setSpanContext(api.ROOT_CONTEXT, parent),
  );
  const placed = again as unknown as PlacedSpan;
  placed.spanContext = () => spanContext;
  if (parentSpanId === undefined) {
    placed.parentSpanContext = undefined;
    placed.parentSpanId = undefined;
  }
  const failure = span.events.find(({ name }) => name === 'exception')?.attributes?.['exception.type'];
  if (failure !== undefined) again.setAttribute('error.type', failure);
  again.setStatus({ code: span.status.code });
  again.end(span.endTime);
}

import { INVALID_SPAN_CONTEXT, propagation, ROOT_CONTEXT, TraceFlags, trace } from '@opentelemetry/api';
import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import {
  OpenTelemetryInboundInterceptor,
  OpenTelemetryInternalsInterceptor,
  OpenTelemetryOutboundInterceptor,
} from '@temporalio/interceptors-opentelemetry/lib/workflow/index.js';
import {
  type WorkflowInboundCallsInterceptor,
  type WorkflowInterceptors,
  type WorkflowOutboundCallsInterceptor,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowType } from '../../src/contract/names.js';

/** The header that Temporal's interceptors hand a trace on in, in every language. */
const TRACE_HEADER = '_tracer-data';

/** Workflows that serve all runs: their own work belongs to nobody's trace. */
const SERVES_ALL: readonly string[] = [
  WorkflowType.accountSlots,
  WorkflowType.keepSlotsPage,
  WorkflowType.sweepPurchases,
  WorkflowType.auditAccount,
];
/** A parent that is not recorded, and whose children therefore are not, either. */
const NOT_RECORDED = { traceparent: `00-${'1'.padStart(32, '0')}-${'1'.padStart(16, '0')}-00` };

const withTrace = (headers: Headers, carrier: Record<string, string>): Headers => ({
  ...headers,
  [TRACE_HEADER]: defaultPayloadConverter.toPayload(carrier),
});

/** The trace of one run, for the lines of its log that are written outside of its span. */
function runInLog(): Required<Pick<WorkflowInterceptors, 'inbound' | 'outbound'>> {
  let own: Record<string, string> = {};
  const remember: WorkflowInboundCallsInterceptor = {
    execute(input, next) {
      const { traceId, spanId, traceFlags } = trace.getActiveSpan()?.spanContext() ?? INVALID_SPAN_CONTEXT;
      if (traceFlags !== TraceFlags.NONE) own = { trace_id: traceId, span_id: spanId };
      return next(input);
    },
  };
  return { inbound: [remember], outbound: [{ getLogAttributes: (input, next) => next({ ...own, ...input }) }] };
}

/** Without it the first run that needed a slot would have the slots of all later ones in its trace. */
const inbound: WorkflowInboundCallsInterceptor = {
  execute: (input, next) =>
    next(
      SERVES_ALL.includes(workflowInfo().workflowType)
        ? { ...input, headers: withTrace(input.headers, NOT_RECORDED) }
        : input,
    ),
};

/**
 * Gives each item of a batch a trace of its own, linked with the batch's in both directions: in one trace, ten thousand
 * generations would be more than any viewer opens.
 */
const outbound: WorkflowOutboundCallsInterceptor = {
  startChildWorkflowExecution(input, next) {
    const start = trace.getActiveSpan();
    const isItem =
      workflowInfo().workflowType === WorkflowType.videoBatch && input.workflowType === WorkflowType.videoGenerate;
    // An item of a batch that is not recorded is not recorded, either: it keeps the batch's trace.
    if (!isItem || start === undefined || (start.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) {
      return next(input);
    }
    const item = trace
      .getTracer('wan-video-temporal')
      .startSpan('BatchItem', { root: true, links: [{ context: start.spanContext() }] }, ROOT_CONTEXT);
    start.addLink({ context: item.spanContext() });
    item.end();
    const carrier: Record<string, string> = {};
    propagation.inject(trace.setSpan(ROOT_CONTEXT, item), carrier);
    return next({ ...input, headers: withTrace(input.headers, carrier) });
  },
};

/** Temporal's interceptors between ours; bundled into the workflow code of a worker that traces. */
export function interceptors(): WorkflowInterceptors {
  const log = runInLog();
  return {
    inbound: [inbound, new OpenTelemetryInboundInterceptor(), ...log.inbound],
    outbound: [new OpenTelemetryOutboundInterceptor(), outbound, ...log.outbound],
    internals: [new OpenTelemetryInternalsInterceptor()],
  };
}

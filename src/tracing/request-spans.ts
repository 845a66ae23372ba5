import type { Attributes } from '@opentelemetry/api';
import type { RequestFacts, RequestTrace } from '../dashscope/request-trace.js';
import { errorTypeOf } from './quiet-spans.js';
import type { Tracing } from './tracing.js';

/** A span for each request to the provider. The provider itself gets nothing of the trace. */
export function requestSpans({ api, tracer }: Tracing): RequestTrace {
  return (operation, facts, send) =>
    tracer.startActiveSpan(
      `provider ${operation}`,
      { kind: api.SpanKind.CLIENT, attributes: { 'wan_video.operation': operation, ...attributesOf(facts) } },
      async (span) => {
        let outcome = 'ok';
        try {
          return await send((noted) => {
            outcome = noted.outcome ?? outcome;
            span.setAttributes(attributesOf(noted));
          });
        } catch (error) {
          outcome = errorTypeOf(error as Error);
          span.setStatus({ code: api.SpanStatusCode.ERROR });
          throw error;
        } finally {
          span.setAttribute('wan_video.outcome', outcome).end();
        }
      },
    );
}

function attributesOf({ model, taskId, requestId, oddities }: RequestFacts): Attributes {
  return {
    ...(model !== undefined && { 'wan_video.model': model }),
    ...(taskId !== undefined && { 'wan_video.task_id': taskId }),
    ...(requestId !== undefined && { 'wan_video.request_id': requestId }),
    ...(oddities !== undefined && { 'wan_video.oddities': [...oddities] }),
  };
}

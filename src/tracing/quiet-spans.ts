import type { Exception, Span, Tracer } from '@opentelemetry/api';

/**
 * A tracer whose spans say of an error only what kind it is: a message may quote a prompt or an address, and a trace
 * leaves for another system.
 */
export function quietTracer(tracer: Tracer): Tracer {
  return {
    startSpan: (...given) => quiet(tracer.startSpan(...given)),
    startActiveSpan(name: string, ...rest: unknown[]) {
      const run = rest.pop() as (span: Span) => unknown;
      const start = tracer.startActiveSpan as (...given: unknown[]) => unknown;
      return start.call(tracer, name, ...rest, (span: Span) => run(quiet(span)));
    },
  } as Tracer;
}

function quiet(span: Span): Span {
  const setStatus = span.setStatus.bind(span);
  span.setStatus = ({ code }) => setStatus({ code });
  span.recordException = (error) => void span.setAttribute('error.type', errorTypeOf(error));
  return span;
}

/** The published type of a failure, else the error's name. */
export function errorTypeOf(error: Exception): string {
  if (typeof error === 'string') return 'Error';
  const { type, name, code } = error as { type?: unknown; name?: unknown; code?: unknown };
  return [type, name, code].find((one): one is string => typeof one === 'string' && /^\w{1,80}$/.test(one)) ?? 'Error';
}

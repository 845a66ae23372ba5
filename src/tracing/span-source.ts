import { type OptionRules, withMethods } from '../contract/options.js';

/**
 * A `TracerProvider` of OpenTelemetry, of any version of its SDK; named by its method, so that a program without
 * OpenTelemetry compiles against this package.
 */
export interface SpanSource {
  getTracer(name: string, version?: string): object;
}

/** The option of workers and clients that hands one in. */
export const TRACER_OPTIONS: OptionRules = {
  tracerProvider: withMethods('a TracerProvider of OpenTelemetry', 'getTracer'),
};

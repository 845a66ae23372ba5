/** Where spans are sent. */
export interface TracingSettings {
  /** The variable that names the receiver, and its value: OpenTelemetry's SDK reads it again. */
  readonly variable: string;
  readonly endpoint: string;
}

/**
 * Reads whether spans are sent, and where: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, else OTEL_EXPORTER_OTLP_ENDPOINT; pure.
 * The names and the meanings are OpenTelemetry's.
 * @param fail - Called with every fault and the variable that has it.
 * @returns undefined: nothing is traced.
 */
export function readTracing(
  env: Readonly<Record<string, string | undefined>>,
  fail: (variable: string, message: string) => void,
): TracingSettings | undefined {
  const read = (name: string): string | undefined => env[name]?.trim() || undefined;
  const variables = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'];
  const variable = variables.find((name) => read(name) !== undefined);
  const disabled = read('OTEL_SDK_DISABLED')?.toLowerCase();
  if (disabled !== undefined && disabled !== 'true' && disabled !== 'false') {
    fail('OTEL_SDK_DISABLED', 'must be true or false');
  }
  const isOff = disabled === 'true' || read('OTEL_TRACES_EXPORTER') === 'none';
  if (variable === undefined || isOff) return undefined;
  const endpoint = read(variable) ?? '';
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    fail(variable, 'must be an http or https address, such as http://localhost:4318');
    return undefined;
  }
  // What cannot be understood would be replaced by OpenTelemetry without a message, and the spans would be missing.
  const propagators = read('OTEL_PROPAGATORS');
  if (propagators !== undefined && !/(^|,)\s*tracecontext\s*(,|$)/.test(propagators)) {
    fail('OTEL_PROPAGATORS', 'must contain tracecontext, in which workflows hand a trace on');
  }
  return { variable, endpoint };
}

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { AddedCode } from './workflow-code.js';

/**
 * Interceptors for the workflow code. They register with the OpenTelemetry of Temporal's package, which may be older
 * than the one of this process, and a newer one does not find what an older one registers.
 */
export function tracedCode(): AddedCode {
  const fromTemporal = createRequire(createRequire(import.meta.url).resolve('@temporalio/interceptors-opentelemetry'));
  const api = fromTemporal.resolve('@opentelemetry/api');
  return {
    workflowInterceptorModules: [
      fileURLToPath(new URL('../../workflows/tracing/trace-interceptors.js', import.meta.url)),
    ],
    webpackConfigHook: (webpack) => ({
      ...webpack,
      resolve: { ...webpack.resolve, alias: { ...webpack.resolve?.alias, '@opentelemetry/api$': api } },
    }),
  };
}

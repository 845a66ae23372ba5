import { createRequire } from 'node:module';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** Packages that only tracing needs; they are optional peers, and nothing of them is loaded while it is off. */
const PACKAGES = ['@temporalio/interceptors-opentelemetry', '@opentelemetry/api', '@opentelemetry/sdk-node'] as const;

export type OpenTelemetryApi = typeof import('@opentelemetry/api');
export type TemporalInterceptors = typeof import('@temporalio/interceptors-opentelemetry');
export type OpenTelemetrySdk = typeof import('@opentelemetry/sdk-node');

const require = createRequire(import.meta.url);

/**
 * Loads one of them; not with `import`, because constructors load them, too.
 * @throws VideoError `ConfigurationInvalid` that says what to install, where it is missing.
 */
export function loadPackage<T>(name: (typeof PACKAGES)[number]): T {
  try {
    return require(name) as T;
  } catch (cause) {
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `Tracing needs the package ${name}, which cannot be loaded`,
      {
        cause,
        nextStep: `Install ${PACKAGES.join(', ')}; the first in the version of your other @temporalio packages.`,
      },
    );
  }
}

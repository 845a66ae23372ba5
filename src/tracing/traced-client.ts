import type { Client, ClientOptions } from '@temporalio/client';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { Tracing } from './tracing.js';

/** The same client, over the same connection, whose calls are spans that hand their trace on. */
export function tracedClient(client: Client, { interceptors, tracer }: Tracing): Client {
  const { workflow = [], ...others } = client.options.interceptors ?? {};
  if (!Array.isArray(workflow)) {
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      'tracerProvider cannot be used with interceptors of old form',
      {
        issues: [{ path: 'client', message: 'must have its workflow interceptors as a list' }],
        nextStep: 'Give the Client its workflow interceptors as a list.',
      },
    );
  }
  // The class of the caller's own version. Its plugins have done their part.
  const TheirClient = client.constructor as new (options: ClientOptions) => Client;
  return new TheirClient({
    ...(client.options as ClientOptions),
    connection: client.connection,
    plugins: [],
    interceptors: {
      ...others,
      workflow: [...workflow, new interceptors.OpenTelemetryWorkflowClientInterceptor({ tracer })],
    },
  });
}

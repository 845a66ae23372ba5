import { type ConnectionOptions, defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];
type Call = ReturnType<Interceptor>;
type Listener = NonNullable<Parameters<Call['start']>[1]>;

/** gRPC's status code of a call that was given up (https://grpc.io/docs/guides/status-codes/). */
const CANCELLED = 1;

/**
 * Interceptors of every connection to Temporal: the SDK's retries, and below them what a retry meets whose connection
 * was closed meanwhile. gRPC throws then, and a retry runs from a timer, where nothing catches it: the process would
 * end.
 */
export const connectionInterceptors = (): Interceptor[] => [
  makeGrpcRetryInterceptor(defaultGrpcRetryOptions()),
  endCallsOfClosedConnections,
];

const endCallsOfClosedConnections: Interceptor = (options, nextCall) => {
  try {
    return nextCall(options) as Call;
  } catch {
    return closedCall();
  }
};

/** A call that ends at once, because its connection is closed. */
function closedCall(): Call {
  const status = { code: CANCELLED, details: 'The connection is closed', metadata: { get: () => [] } };
  const call = {
    start(_: unknown, listener?: Partial<Listener>): void {
      // An answer without a message has an empty one, as for any failed call.
      listener?.onReceiveMessage?.(undefined);
      listener?.onReceiveStatus?.(status as never);
    },
    sendMessage: () => undefined,
    sendMessageWithContext: () => undefined,
    halfClose: () => undefined,
    startRead: () => undefined,
    cancelWithStatus: () => undefined,
    getPeer: () => 'closed',
    getAuthContext: () => null,
  };
  return call as unknown as Call;
}

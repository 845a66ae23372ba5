import type { Oddity } from './answer-reader.js';
import type { ProviderOperation } from './errors.js';
import type { SubmitOutcome } from './submit-outcome.js';

/** What a trace says of a request: never a prompt, an address or a key. */
export interface RequestFacts {
  readonly model?: string | undefined;
  readonly taskId?: string | undefined;
  /** The provider's id of the request. */
  readonly requestId?: string | undefined;
  /** How it ended; by default `ok`, or the type of the error. */
  readonly outcome?: string | undefined;
  /** Fields of the answer that are not as documented, each with the kind of value found there. */
  readonly oddities?: readonly string[] | undefined;
}

/** Adds what became known of a request; must not throw. */
export type NoteFacts = (facts: RequestFacts) => void;

/** Runs one request as a part of a trace. It changes nothing about the request. */
export type RequestTrace = <T>(
  operation: ProviderOperation,
  facts: RequestFacts,
  send: (note: NoteFacts) => Promise<T>,
) => Promise<T>;

export const untraced: RequestTrace = (_operation, _facts, send) => send(() => undefined);

export const submitFacts = (outcome: SubmitOutcome): RequestFacts =>
  outcome.kind === 'accepted'
    ? { outcome: outcome.kind, taskId: outcome.taskId, requestId: outcome.requestId }
    : { outcome: outcome.kind, requestId: outcome.error.requestId };

export const oddityFacts = (oddities: readonly Oddity[]): RequestFacts =>
  oddities.length === 0 ? {} : { oddities: oddities.map(({ field, found }) => `${field}: ${found}`) };

import { type RawValue, rawValueTypeInfo } from '@temporalio/common';
import * as wf from '@temporalio/workflow';
import { isDeeperThan } from '../../src/contract/bounds.js';
import { failure } from './failures.js';
import { workerSinks } from './worker-sinks.js';

// Any program that may signal a workflow decides what its messages hold. An error while a message is read fails the
// workflow task, and the task is repeated for ever: no message is believed, or even decoded, before it is checked here.

/**
 * Reads a message that may hold anything; undefined: it is malformed. What it returns has the known members only, or
 * members that are bounded by the size of the message.
 * @param message - Undefined when the sender gave no argument.
 */
export type MessageReader<Message> = (message: unknown) => Message | undefined;

/** Deviations of one signal from the others. */
interface SignalOptions {
  /** Longest argument in bytes of JSON; default {@link MESSAGE_BYTES_MAX}. */
  readonly bytesMax?: number;
  /** Called for each malformed message, after it is counted. */
  readonly onMalformed?: () => void;
}

/** Bytes of a message: ten times those of the longest one of ours. */
export const MESSAGE_BYTES_MAX = 16_384;
/** Levels of a message: budgets have five. A text of a million brackets would exhaust the stack of what reads it. */
export const MESSAGE_DEPTH_MAX = 8;

/** What an argument is that cannot be decoded, or is larger or deeper than any message. No reader accepts it. */
const UNREADABLE = Symbol('unreadable');

/** Every argument arrives undecoded, however many there are: the SDK would decode them outside of any handler. */
export const UNDECODED = {
  inputTypes: new Proxy([], { get: () => rawValueTypeInfo }) as readonly (typeof rawValueTypeInfo)[],
};

/** A message that is owed an answer: what it may hold, when it has a use, and what it does. */
export interface Request<Message, Answer> {
  readonly read: MessageReader<Message>;
  /** What the argument is, for the one whose message cannot be read: a sentence. */
  readonly expected: string;
  /** What the request does, in the Web UI's list. */
  readonly description: string;
  /** Why the run has no use for the message now, as a sentence; undefined: it has. Changes nothing. */
  readonly refuse: (message: Message) => string | undefined;
  /** Acts at once; its answer may take a while. It rejects only with a failure that {@link refusal} makes. */
  readonly handle: (message: Message) => Answer | Promise<Answer>;
  /** Called for each malformed signal, after it is counted. */
  readonly onMalformed?: () => void;
}

/** How many messages of each name this execution has ignored. */
const ignored = new Map<string, number>();

/** Sets the handler of a signal. A message that `read` does not accept is counted, logged and otherwise ignored. */
export function onSignal<Message>(
  signal: { readonly name: string },
  read: MessageReader<Message>,
  handle: (message: Message) => void,
  { bytesMax, onMalformed }: SignalOptions = {},
): void {
  const { name } = signal;
  wf.setHandler({ ...wf.defineSignal<[RawValue?]>(name), typeInfo: UNDECODED }, (argument) => {
    const message = readSafely(read, decode(argument, bytesMax));
    if (message !== undefined) return handle(message);
    ignoreMessage(name, 'malformed');
    onMalformed?.();
  });
}

/** Deviations of one Update from the others. */
interface UpdateOptions<Message> extends Pick<SignalOptions, 'bytesMax'> {
  /** What the argument is, for the one whose message cannot be read: a sentence. */
  readonly expected?: string;
  /** What it does, in the Web UI's list. */
  readonly description?: string;
  /** Why the run has no use for the message now, as a sentence; undefined: it has. Changes nothing. */
  readonly refuse?: (message: Message) => string | undefined;
}

/**
 * Sets the handler of an Update. A message that `read` does not accept, or that the run has no use for, is refused
 * before it is in the history, with the reason.
 * @param handle - Its answer is the sender's.
 */
export function onUpdate<Message, Answer>(
  { name }: { readonly name: string },
  read: MessageReader<Message>,
  handle: (message: Message) => Answer | Promise<Answer>,
  options: UpdateOptions<Message> = {},
): void {
  const { bytesMax, expected = `The argument of "${name}" is malformed`, refuse, description } = options;
  const readIt = (argument?: RawValue) => readSafely(read, decode(argument, bytesMax));
  const validator = (argument?: RawValue): void => {
    const message = readIt(argument);
    const why = message === undefined ? expected : refuse?.(message);
    if (why === undefined) return;
    ignoreMessage(name, message === undefined ? 'malformed' : 'unexpected');
    throw refusal(why);
  };
  const update = { ...wf.defineUpdate<Answer, [RawValue?]>(name), typeInfo: UNDECODED };
  const handler = (argument?: RawValue): Answer | Promise<Answer> => {
    const message = readIt(argument);
    // A worker of another version may have accepted what this one does not.
    if (message === undefined) throw refusal(expected);
    return handle(message);
  };
  wf.setHandler(update, handler, { validator, ...(description !== undefined && { description }) });
}

/**
 * Sets the handlers of a request, which is both a signal and an Update of one name. The signal is kept by Temporal
 * while no worker runs, and gets no answer.
 */
export function onRequest<Message, Answer>(
  request: { readonly name: string },
  { read, handle, onMalformed, ...update }: Request<Message, Answer>,
): void {
  onSignal<Message>(
    request,
    read,
    (message) => {
      if (update.refuse(message) !== undefined) ignoreMessage(request.name, 'unexpected');
      // Nobody waits for the answer, and a refusal shows in the run's progress.
      else Promise.resolve(handle(message)).catch(() => undefined);
    },
    { ...(onMalformed !== undefined && { onMalformed }) },
  );
  onUpdate(request, read, handle, update);
}

/** The failure of a request that changes nothing. */
export const refusal = (why: string): wf.ApplicationFailure => failure({ type: 'MessageRefused', message: why });

/**
 * Waits until every request is answered: an Update in progress would fail with the end of its run.
 * A run calls it before each of its ends.
 */
export const answersGiven = (): Promise<void> =>
  wf.CancellationScope.nonCancellable(() => wf.condition(wf.allHandlersFinished));

/** Sets the handler of a signal that carries bytes under a name. Anything else is counted, logged and ignored. */
export function onBytesSignal(
  { name }: { readonly name: string },
  bytesMax: number,
  handle: (of: string, bytes: Uint8Array) => void,
): void {
  wf.setHandler({ ...wf.defineSignal<[RawValue?, RawValue?]>(name), typeInfo: UNDECODED }, (first, second) => {
    const of = decode(first);
    const bytes = second?.payload.data;
    if (typeof of === 'string' && bytes != null && bytes.length <= bytesMax) handle(of, bytes);
    else ignoreMessage(name, 'malformed');
  });
}

/**
 * Sets the answer of a query. An answer that throws, also because of a malformed argument, is the caller's error.
 * @param answer - Receives the first argument, which may be anything.
 */
export function onQuery<Answer>(query: { readonly name: string }, answer: (question: unknown) => Answer): void {
  wf.setHandler({ ...wf.defineQuery<Answer, [RawValue?]>(query.name), typeInfo: UNDECODED }, (argument) =>
    answer(decode(argument)),
  );
}

/**
 * Counts and logs a message that has no effect.
 * @param name - The message, or the part of it that is ignored.
 * @param why - `unexpected`: it is well-formed, and this run has no use for it.
 */
export function ignoreMessage(name: string, why: 'malformed' | 'unexpected'): void {
  const count = (ignored.get(name) ?? 0) + 1;
  ignored.set(name, count);
  workerSinks.messageIgnored(name, why);
  // A flood of messages is no flood of log entries: each entry is for as many messages as all before it.
  if ((count & (count - 1)) === 0) wf.log.warn('message ignored', { ignoredMessage: name, why, ignoredSoFar: count });
}

/** Makes a reader of a check that accepts messages as they are. */
export const checkedBy =
  <Message>(isMessage: (message: unknown) => message is Message): MessageReader<Message> =>
  (message) =>
    isMessage(message) ? message : undefined;

/** A reader that fails has met something that it was not written for. */
function readSafely<Message>(read: MessageReader<Message>, message: unknown): Message | undefined {
  try {
    return message === UNREADABLE ? undefined : read(message);
  } catch {
    return undefined;
  }
}

/** The value of an argument, or {@link UNREADABLE}. */
export function decode(argument: RawValue | undefined, bytesMax = MESSAGE_BYTES_MAX): unknown {
  if (argument === undefined) return undefined;
  try {
    const { payload } = argument;
    if ((payload.data?.length ?? 0) > bytesMax) return UNREADABLE;
    const value: unknown = wf.defaultPayloadConverter.fromPayload(payload);
    return isDeeperThan(MESSAGE_DEPTH_MAX, value) ? UNREADABLE : value;
  } catch {
    return UNREADABLE;
  }
}

import * as wf from '@temporalio/workflow';
import { bytesOf } from '../../src/contract/bounds.js';
import type {
  SlotAnswer,
  SlotReleaseMessage,
  SlotRequestMessage,
  SlotWithdrawalMessage,
} from '../../src/contract/slots.js';
import { checkedBy, ignoreMessage, type MessageReader, onSignal, onUpdate } from '../shared/message-handlers.js';
import {
  releaseSlotSignal,
  requestSlotSignal,
  requestSlotsSignal,
  requestSlotUpdate,
  setSlotLimitSignal,
  withdrawSlotRequestSignal,
} from '../shared/messages.js';
import { newVersionAvailable, upgradeAttempted } from '../shared/version-upgrade.js';
import { packQueue, unpackQueue } from './carried-queue.js';
import type { BacklogSignal, CarriedSlots, SchedulerInput } from './carried-slots.js';
import {
  isSlotLimit,
  isSlotRelease,
  isSlotRequest,
  isSlotWithdrawal,
  readSlotRequests,
  type SingleRequests,
  SLOT_MESSAGE_BYTES_MAX,
  SLOT_REQUESTS_MESSAGE_BYTES_MAX,
} from './message-guards.js';
import { PageCollector, startKeepers } from './page-keeper.js';
import type { WaitingQueue } from './waiting-queue.js';

/** Bytes of one page of the queue; with a few more for its last request. */
const PAGE_BYTES = 1_000_000;
/** Bytes of a run's input: below Temporal's 2 MB, which end the workflow. */
const INPUT_BYTES_MAX = 1_900_000;
/** Bytes that a page leaves at least for signals that arrive meanwhile, some 1,200 requests. */
const BACKLOG_BYTES_MIN = 400_000;
/** A page is on its way for milliseconds; without it the runs of its requests have to ask again. */
const PAGE_WAIT_MS = 60_000;
/**
 * A queue of megabytes makes Temporal suggest the next run at once. By this many events their replay costs about as
 * much as taking over the queue (`bench/slots-replay.mjs`), and a shorter queue is handed on by then, too.
 */
const EVENTS_MIN = 4_000;
// Temporal ends a workflow after 51,200 events, 50 MB or 10,000 signals.
const EVENTS_MAX = 20_000;
const BYTES_MAX = 25_000_000;
const SIGNALS_MAX = 8_000;

type Handlers = {
  readonly requestSlot: (message: SlotRequestMessage) => void;
  readonly answerRequest: (message: SlotRequestMessage) => Promise<SlotAnswer | null>;
  readonly releaseSlot: (message: SlotReleaseMessage) => void;
  readonly withdrawSlotRequest: (message: SlotWithdrawalMessage) => void;
  readonly setSlotLimit: (message: { readonly limit?: unknown; readonly budget?: unknown }) => void;
  readonly malformed: () => void;
};

/**
 * Receives the signals of the slots, and hands the queue from one run of the workflow to the next. While a queue is
 * taken over or handed over, signals wait in a backlog, so that no page misses what arrives meanwhile.
 */
export class Handover {
  readonly #input: SchedulerInput;
  readonly #handlers: Handlers;
  readonly #collector = new PageCollector();
  #backlog: BacklogSignal[] = [];
  #isMoving: boolean;
  #signals = 0;

  constructor(input: SchedulerInput, handlers: Handlers) {
    this.#input = input;
    this.#handlers = handlers;
    this.#isMoving = input.carried !== undefined;
  }

  registerSignals(): void {
    this.#onSignal(requestSlotSignal, checkedBy(isSlotRequest));
    onUpdate(
      requestSlotUpdate,
      checkedBy(isSlotRequest),
      async (message) => {
        if (!this.#isMoving) return this.#handlers.answerRequest(message);
        this.#backlog.push({ name: requestSlotSignal.name, message });
        return null;
      },
      { bytesMax: SLOT_MESSAGE_BYTES_MAX },
    );
    this.#onSignal(
      requestSlotsSignal,
      readSlotRequests,
      (message) => this.#receiveAll(message),
      SLOT_REQUESTS_MESSAGE_BYTES_MAX,
    );
    this.#onSignal(releaseSlotSignal, checkedBy(isSlotRelease));
    this.#onSignal(withdrawSlotRequestSignal, checkedBy(isSlotWithdrawal));
    this.#onSignal(setSlotLimitSignal, checkedBy(isSlotLimit));
  }

  /** Whether the workflow should continue as new once nothing is under way. */
  get isDue(): boolean {
    const { continueAsNewSuggested, historyLength } = wf.workflowInfo();
    const { eventsMax = Number.POSITIVE_INFINITY, upgrade_from: upgradeFrom } = this.#input;
    if (historyLength >= eventsMax || newVersionAvailable(upgradeFrom)) return true;
    return continueAsNewSuggested && historyLength >= EVENTS_MIN;
  }

  /** Whether it has to, although a step is under way: its answer is lost then, and the step is run again. */
  get isOverdue(): boolean {
    const { historyLength, historySize } = wf.workflowInfo();
    return historyLength >= EVENTS_MAX || historySize >= BYTES_MAX || this.#signals >= SIGNALS_MAX;
  }

  /**
   * Fills the queue with what the run before has handed over, then handles the signals that wait.
   * @returns whether the queue is complete; otherwise there may be runs that wait and are not in it.
   */
  async takeOver(page: Uint8Array | undefined, queue: WaitingQueue): Promise<boolean> {
    const { keepers = [], backlog = [] } = this.#input.carried ?? {};
    const kept = keepers.length === 0 ? [] : await this.#collector.collect(keepers, PAGE_WAIT_MS);
    const missing = kept.filter((one) => one === undefined).length;
    if (missing > 0) wf.log.error('pages of the queue are missing; the runs have to ask again', { missing });
    unpackQueue(
      [page, ...kept].filter((one) => one !== undefined),
      queue,
    );
    this.#isMoving = false;
    for (const { name, message } of [...backlog, ...this.#backlog.splice(0)]) this.#handle(name, message);
    return missing === 0 && this.#input.carried !== undefined;
  }

  /** Hands over the queue and the rest of the state; returns the arguments of the next run. */
  async handOver(
    queue: WaitingQueue,
    carried: Omit<CarriedSlots, 'keepers' | 'backlog'>,
  ): Promise<[SchedulerInput, Uint8Array?]> {
    this.#isMoving = true;
    const { upgrade_from: upgradeFrom, ...input } = this.#input;
    const next = { ...input, limit: carried.state.limit, ...upgradeAttempted(upgradeFrom) };
    const [first, ...others] = packQueue(queue, this.#input.pageBytes ?? PAGE_BYTES);
    const room = INPUT_BYTES_MAX - bytesOf(JSON.stringify({ ...next, carried }));
    // While the keepers of further pages start, more signals arrive than while none do.
    const isArgument = first !== undefined && others.length === 0 && first.length + BACKLOG_BYTES_MIN <= room;
    const keepers = await startKeepers(isArgument || first === undefined ? others : [first, ...others]);
    const backlog = this.#carriedBacklog(isArgument ? room - first.length : room);
    const argument = { ...next, carried: { ...carried, keepers, backlog } };
    return isArgument ? [argument, first] : [argument];
  }

  /** The signals that wait; of requests those that fit, because their runs repeat them within a minute. */
  #carriedBacklog(room: number): BacklogSignal[] {
    let bytes = 0;
    return this.#backlog.filter((signal) => {
      bytes += bytesOf(JSON.stringify(signal)) + 1;
      return bytes <= room || signal.name !== requestSlotSignal.name;
    });
  }

  #onSignal<Message>(
    signal: { readonly name: string },
    read: MessageReader<Message>,
    receive = (message: Message): void => this.#receive(signal.name, message),
    bytesMax = SLOT_MESSAGE_BYTES_MAX,
  ): void {
    const onMalformed = (): void => {
      this.#signals += 1;
      this.#handlers.malformed();
    };
    onSignal(
      signal,
      read,
      (message) => {
        this.#signals += 1;
        receive(message);
      },
      { bytesMax, onMalformed },
    );
  }

  #receiveAll({ requests, malformed }: SingleRequests): void {
    for (const message of requests) this.#receive(requestSlotSignal.name, message);
    for (let one = 0; one < malformed; one += 1) {
      ignoreMessage(requestSlotsSignal.name, 'malformed');
      this.#handlers.malformed();
    }
  }

  #receive(name: string, message: unknown): void {
    if (this.#isMoving) this.#backlog.push({ name, message });
    else this.#handle(name, message);
  }

  #handle(name: string, message: unknown): void {
    const handle = this.#handlers[name as keyof Handlers] as ((message: unknown) => void) | undefined;
    handle?.(message);
  }
}

import type { BatchControls, BatchPause } from '../../src/contract/batch.js';
import { onRequest } from '../shared/message-handlers.js';
import { pauseSignal, resumeSignal, windowSignal } from '../shared/messages.js';
import { EXPECTED_REASON, type Reason, readReason } from '../shared/read-reason.js';
import type { BatchNotifier } from './batch-notifications.js';
import type { BatchProgressView } from './batch-progress.js';
import { type BatchState, EXPECTED_WINDOW, readWindow, windowOf } from './batch-state.js';

/** The parts of a batch that a request changes or shows. */
interface BatchParts {
  readonly progress: BatchProgressView;
  readonly notifier: BatchNotifier;
  /** The batch's state; undefined until it is open. */
  readonly state: () => BatchState | undefined;
  /** The window in the batch's input, which may be anything. */
  readonly window: unknown;
}

/** Takes `pause`, `resume` and `setWindow`, and keeps what they set until there is a state. */
export class BatchRequests {
  readonly #parts: BatchParts;
  #window: unknown;
  #pause: BatchPause | null = null;

  constructor(parts: BatchParts) {
    this.#parts = parts;
    this.#window = parts.window;
    const refuse = () => parts.progress.ending;
    onRequest<Reason, BatchControls>(pauseSignal, {
      read: readReason,
      expected: EXPECTED_REASON,
      description: 'Starts no further items; those in progress continue. Answers the pause and the window.',
      refuse,
      handle: ({ reason }) =>
        this.#setPause({ reason: reason ?? 'paused on request', cause: null, since_ms: Date.now() }),
    });
    onRequest<Reason, BatchControls>(resumeSignal, {
      read: readReason,
      expected: EXPECTED_REASON,
      description: 'Starts items again. Answers the pause, which is null then, and the window.',
      refuse,
      handle: () => this.#setPause(null),
    });
    onRequest<number, BatchControls>(windowSignal, {
      read: readWindow,
      expected: EXPECTED_WINDOW,
      description: 'Sets how many items are in progress at a time. Answers the pause and the window.',
      refuse,
      handle: (window) => this.#setWindow(window),
    });
  }

  /** The window for a batch that opens. */
  get window(): number {
    return windowOf(this.#window);
  }

  /** Pauses a batch that opens, from now on, if that was requested before. */
  applyTo(state: BatchState): void {
    state.data.pause = this.#pause === null ? null : { ...this.#pause, since_ms: Date.now() };
  }

  /** A second pause keeps the reason of the first. */
  #setPause(pause: BatchPause | null): BatchControls {
    const state = this.#parts.state();
    if (state === undefined) this.#pause = pause === null ? null : (this.#pause ?? pause);
    else {
      state.data.pause = pause === null ? null : (state.data.pause ?? pause);
      if (pause !== null) this.#parts.notifier.reportPause(state);
    }
    return this.#answer();
  }

  #setWindow(window: number): BatchControls {
    const data = this.#parts.state()?.data;
    if (data === undefined) this.#window = window;
    else data.window = window;
    return this.#answer();
  }

  #answer(): BatchControls {
    this.#parts.progress.show();
    const { pause, window } = this.#parts.state()?.data ?? { pause: this.#pause, window: this.window };
    return { pause, window };
  }
}

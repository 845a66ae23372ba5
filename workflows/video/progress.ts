import * as wf from '@temporalio/workflow';
import type { RenderProgress } from '../../activities/poll-task.js';
import type { VideoFailure } from '../../src/contract/failure.js';
import { markdownLink, markdownPicture } from '../../src/contract/markdown.js';
import type { Attention, CancelOutcome, VideoProgress, VideoResult } from '../../src/contract/result.js';
import { cleanText } from '../../src/contract/safe-text.js';
import type { SlotPlace, SlotsHealth } from '../../src/contract/slots.js';
import type { WebLinks } from '../../src/contract/web-links.js';
import type { EndedBy } from '../shared/cancellation.js';
import { onQuery } from '../shared/message-handlers.js';
import { progressQuery } from '../shared/messages.js';
import { showDetails } from '../shared/web-ui.js';
import { logTransition, workerSinks } from '../shared/worker-sinks.js';
import { failureLines, progressLines } from './progress-lines.js';

type Stage = VideoProgress['stage'];

/** What each stage waits for, for people. */
const WAITING_FOR: Record<Stage, string> = {
  preparing: 'the image to be downloaded, checked and uploaded',
  uploading: "the image to reach the provider's temporary store",
  waiting_for_slot: 'a slot: the account may have only so many tasks at the provider at a time',
  submitting: 'the provider to accept the task',
  following: 'another run that buys the same video',
  reconciling: "the provider's task list to show what became of the submit",
  needs_attention: 'a person to decide which task belongs to it: wan-video resolve',
  queued: 'the provider to start the task',
  rendering: 'the provider to finish the task',
  archiving: 'the video to be downloaded, verified and stored',
  conforming: 'a worker with ffmpeg to make the requested file from the archived video',
  cancelling: 'the provider to say whether the task can still be cancelled',
  done: 'nothing',
  cancelled: 'nothing',
  failed: 'nothing',
  budget_reached: 'nothing',
};

/** What a run waits for whose paid result cannot be archived. */
const RESULT_OR_PERSON = 'the result to be archived after all, or a person to decide: wan-video resolve';

/** What a run waits for that the queue has no room for. */
const QUEUE_FULL = 'room in the queue for slots, which is full; the run asks again by itself';

/** What a run waits for while the slots do not answer, by why they do not. */
function noAnswerYet({ state, reason }: SlotsHealth, isBudgeted: boolean): string {
  const answer = "the account's slots to answer";
  const onlyWithThem = isBudgeted ? ' (with budgets, nothing is bought without them)' : '';
  switch (state) {
    case 'busy':
      return `${answer}: they are busy, and have the request`;
    case 'unattended':
      return `${answer}: no worker polls ${reason}; start one with "wan-video worker"${onlyWithThem}`;
    case 'failing':
      return `${answer}: their workflow task fails: ${reason}${onlyWithThem}`;
    case 'not_running':
      return "the account's slots to start again";
  }
}

/** What a run waits for while it is money that is missing. */
const noRoomYet = (budget: NonNullable<SlotPlace['budget']>): string => {
  const whose = { day: "the day's", tenant: "its tenant's", batch: "its batch's" }[budget];
  return `room in ${whose} budget: videos in progress may need all of it (wan-video slots)`;
};

/**
 * Stages in which a decided run continues. Another look may lead back to the person, and an end has its own outcome.
 */
const CONTINUES: readonly Stage[] = ['uploading', 'submitting', 'following', 'queued', 'archiving', 'conforming'];

/** Characters of a search attribute that is one text. */
const KEYWORD_MAX = 255;

/** Most remarks that are shown: a documented answer has some twenty fields. */
const NOTES_MAX = 20;

const NOT_RENDERING = { queued_seconds: null, rendering_since_ms: null, eta: null } as const;

/** Keeps the query `progress`, the current details, the search attributes and the log of a run consistent. */
export class Progress {
  #state: VideoProgress = {
    stage: 'preparing',
    waiting_for: WAITING_FOR.preparing,
    task_id: null,
    attempt: 1,
    since_ms: Date.now(),
    ...NOT_RENDERING,
    slot: null,
    notes: [],
    attention: null,
    cancel: null,
  };

  /** Last lines of the details: where the video is, or why there is none and what to do. */
  #end: readonly string[] = [];

  /** What the details link to. */
  links: WebLinks = {};

  /** Called when the run begins to wait for a person. */
  onAttention: (attention: Attention) => void = () => undefined;

  /** Called at each new stage. */
  onStage: (state: VideoProgress) => void = () => undefined;

  /**
   * Whether the namespace has the search attributes: unknown ones stop a run for good. A client that sets them knows.
   */
  #attributesKnown = wf.workflowInfo().memo?.['search_attributes'] === true;

  /** Search attributes of the caller that the starting client did not set. */
  #unset: Readonly<Record<string, string[]>> = {};

  /** Whether `VideoOutcome` says that the run waits for a person. */
  #parked = false;

  /** Whether `VideoTaskId` names a task. */
  #taskIsNamed = false;

  /** Stage and attempt of the last log entry: a stage that is entered again is no transition. */
  #logged = '';

  constructor() {
    onQuery(progressQuery, () => this.#state);
    this.enter('preparing');
  }

  get state(): VideoProgress {
    return this.#state;
  }

  /** @param more - Added to the log entry; no texts of callers or of the provider. */
  enter(stage: Stage, more: Readonly<Record<string, unknown>> = {}): void {
    this.#show({ stage, waiting_for: WAITING_FOR[stage], since_ms: Date.now(), slot: null, attention: null });
    const transition = `${stage} ${this.#state.attempt}`;
    if (transition !== this.#logged) logTransition(this.#state, more);
    this.#logged = transition;
    this.onStage(this.#state);
    // Slots that start again ask the runs without a task to request again. It has ended without a video.
    if (stage === 'waiting_for_slot' && this.#taskIsNamed) {
      this.#taskIsNamed = false;
      this.#setAttributes({ VideoTaskId: [] });
    }
    if (!this.#parked || !CONTINUES.includes(stage)) return;
    this.#parked = false;
    this.#setAttributes({ VideoOutcome: ['running'] });
  }

  /**
   * Sets whether the namespace has the search attributes.
   * @param ofCaller - Attributes that identify the caller. Those that the starting client has not set are set together
   * with the next ones, which saves an Action.
   */
  useAttributes(known: boolean, ofCaller: Readonly<Record<string, string[]>> = {}): void {
    this.#attributesKnown = known;
    const { searchAttributes: set } = wf.workflowInfo();
    this.#unset = Object.fromEntries(Object.entries(ofCaller).filter(([name]) => set[name] === undefined));
  }

  /** Shows the run's place in the queue of the slots; called at each answer of the slots. */
  waitingForSlot(slot: SlotPlace): void {
    const { budget, queue_full: isQueueFull = false } = slot;
    const waitingFor = budget === undefined ? WAITING_FOR.waiting_for_slot : noRoomYet(budget);
    this.#show({ slot, waiting_for: isQueueFull ? QUEUE_FULL : waitingFor });
  }

  /** Shows that the account's slots do not answer, and why. */
  waitingForSlots(health: SlotsHealth, isBudgeted: boolean): void {
    this.#show({ waiting_for: noAnswerYet(health, isBudgeted), slot: null });
  }

  /** Shows that another task is bought, because the last one failed free of charge. */
  nextAttempt(): void {
    this.#show({ attempt: this.#state.attempt + 1, task_id: null, ...NOT_RENDERING });
  }

  bought(taskId: string): void {
    this.#show({ task_id: taskId });
    this.#taskIsNamed = true;
    this.#setAttributes({ VideoTaskId: [taskId] });
  }

  /** Shows fields of the provider's answers that are not as documented. */
  noteOddities(fields: readonly string[] = []): void {
    const notes = fields.map((field) => `the provider's answer is not as documented: ${field}`);
    const fresh = notes.filter((note) => !this.#state.notes.includes(note));
    if (fresh.length > 0) this.#show({ notes: [...this.#state.notes, ...fresh].slice(-NOTES_MAX) });
  }

  rendering({ startedAtMs, earliestAtMs, latestAtMs, samples, oddities }: RenderProgress): void {
    this.noteOddities(oddities);
    const queuedMs = startedAtMs === null ? null : Math.max(0, startedAtMs - this.#state.since_ms);
    this.enter('rendering');
    this.#show({
      queued_seconds: queuedMs === null ? null : queuedMs / 1000,
      rendering_since_ms: startedAtMs,
      eta: { earliest_ms: earliestAtMs, latest_ms: latestAtMs, samples },
    });
  }

  /** Shows why a paid result is not archived yet. */
  archivingLate(why: string): void {
    this.#show({ waiting_for: `the result, which is late and is tried again: ${why}` });
  }

  /** Shows that the video is archived, and that another file is made from it. */
  conforming({ task_id }: VideoResult): void {
    this.#show({ task_id });
    this.enter('conforming');
  }

  needsAttention(attention: Attention): void {
    this.enter('needs_attention');
    const isResult = attention.cause === 'ResultUnreachable';
    this.#show({ attention, ...(isResult && { waiting_for: RESULT_OR_PERSON }) });
    this.onAttention(attention);
    if (this.#parked) return; // the same question again, after a refused decision or another look
    this.#parked = true;
    this.#setAttributes({ VideoOutcome: ['needs_attention'] });
  }

  finished(result: VideoResult): VideoResult {
    const { video_url, poster_url, duration, width, height, source, usage, task_id } = result;
    const billedSeconds = source === 'generated' ? usage.billed_seconds : 0;
    const cost = source === 'generated' ? `, ${billedSeconds} s billed` : '';
    const picture = poster_url === undefined ? undefined : markdownPicture('first frame', poster_url, video_url);
    this.#end = [
      `video: ${markdownLink(video_url, video_url)}`,
      `${duration} s, ${width}x${height}, ${source}${cost}`,
      ...(picture === undefined ? [] : [picture]),
    ];
    this.#show({ task_id });
    this.enter('done', { source, billedSeconds });
    workerSinks.runEnded(source, null);
    this.#setAttributes({ VideoTaskId: [task_id], VideoOutcome: [source] });
    return result;
  }

  /** The end of a salvage that found nothing to keep. */
  nothingBought(): null {
    this.enter('done', { source: null, billedSeconds: 0 });
    workerSinks.runEnded('nothing_bought', null);
    this.#setAttributes({ VideoOutcome: ['nothing_bought'] });
    return null;
  }

  failed(failure: VideoFailure | undefined): void {
    if (failure !== undefined) this.#end = failureLines(failure);
    const type = failure?.type ?? 'unknown';
    if (type === 'BudgetReached') {
      this.enter('budget_reached');
      workerSinks.runEnded('budget_reached', null);
      this.#setAttributes({ VideoOutcome: ['budget_reached'], VideoErrorCode: [type] });
      return;
    }
    this.enter('failed', { errorType: type, code: failure?.code ?? null, billed: failure?.billed ?? null });
    workerSinks.runEnded('failed', type);
    this.#setAttributes({ VideoOutcome: ['failed'], VideoErrorCode: [failure?.code ?? type] });
  }

  cancelled(by: EndedBy, outcome: Omit<CancelOutcome, 'reason'>): void {
    this.#show({ cancel: { ...outcome, reason: by.how === 'deadline' ? 'deadline_seconds passed' : by.reason } });
    this.enter('cancelled', { by: by.how, billed: outcome.billed });
    if (by.how === 'cancel') workerSinks.runEnded('cancelled', null); // a deadline ends as a failure
    this.#setAttributes({ VideoOutcome: ['cancelled'] });
  }

  #setAttributes(values: Record<string, string[]>): void {
    if (!this.#attributesKnown) return;
    // Ids and codes of the provider are texts from outside.
    const clean = Object.entries(values).map(([name, texts]) => [
      name,
      texts.map((text) => cleanText(text, KEYWORD_MAX)),
    ]);
    wf.upsertSearchAttributes({ ...this.#unset, ...Object.fromEntries(clean) });
    this.#unset = {};
  }

  #show(change: Partial<VideoProgress>): void {
    this.#state = { ...this.#state, ...change };
    showDetails([...progressLines(this.#state, this.links), ...this.#end]);
  }
}

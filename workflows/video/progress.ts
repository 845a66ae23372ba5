import * as wf from '@temporalio/workflow';
import type { RenderProgress } from '../../activities/types.js';
import type { VideoFailure } from '../../src/contract/failure.js';
import type { Attention, CancelOutcome, Eta, VideoProgress, VideoResult } from '../../src/contract/result.js';
import { placeText, type SlotPlace } from '../../src/contract/slots.js';
import { utcTime } from '../../src/contract/utc.js';
import type { EndedBy } from '../shared/cancellation.js';
import { progressQuery } from '../shared/messages.js';
import { logTransition, workerSinks } from '../shared/worker-sinks.js';

type Stage = VideoProgress['stage'];

/** What each stage waits for, as people read it. */
const WAITING_FOR: Record<Stage, string> = {
  preparing: 'the image to be fetched and checked',
  uploading: "the image to reach the provider's temporary store",
  waiting_for_slot: 'a place at the provider, where the account may have only so many tasks at a time',
  submitting: 'the provider to accept the task',
  following: 'another run that buys the same video',
  reconciling: "the provider's task list to show what became of the submit",
  needs_attention: 'a person to decide which task is ours: wan-video resolve',
  queued: 'the provider to begin the task',
  rendering: 'the provider to finish the task',
  archiving: 'the video to be downloaded, verified and stored',
  cancelling: 'the provider to say whether the task can still be cancelled',
  done: 'nothing',
  cancelled: 'nothing',
  failed: 'nothing',
  budget_reached: 'nothing',
};

/** Instead of a place, while nobody answers and a budget forbids to go on without. */
const NO_SLOTS =
  "the account's slots to answer: with budgets configured nothing is bought without them (is a worker up, and wan-video slots?)";

/** Instead of a place, while it is the money that a run waits for. */
const noRoomYet = (budget: NonNullable<SlotPlace['budget']>): string =>
  `room in ${{ day: 'the day', tenant: 'its tenant', batch: 'its batch' }[budget]}'s budget: all of it may be needed for videos that are under way (wan-video slots)`;

/** Stages in which a run that waited for a person gets on. Another look may lead back to the person, and an end has its own outcome. */
const GOES_ON: readonly Stage[] = ['uploading', 'submitting', 'following', 'queued', 'archiving'];

const NOT_RENDERING = { queued_seconds: null, rendering_since_ms: null, eta: null } as const;

/** Keeps what the `progress` query, the current details and the search attributes say in step with each other. */
export class Progress {
  #state: VideoProgress = {
    stage: 'preparing',
    waiting_for: WAITING_FOR.preparing,
    task_id: null,
    attempt: 1,
    since_ms: Date.now(),
    ...NOT_RENDERING,
    slot: null,
    attention: null,
    cancel: null,
  };

  /** What the details say at the end: where the video is, or why there is none and what to do. */
  #end: readonly string[] = [];

  /** Told when the run begins to wait for a person. */
  onAttention: (attention: Attention) => void = () => undefined;

  /** Whether the namespace knows our attributes: setting unknown ones stops a run for good. The client that set one at the start knows. */
  #attributesKnown = wf.workflowInfo().memo?.['search_attributes'] === true;

  /** Search attributes of the caller that a plain client did not set. */
  #unset: Readonly<Record<string, string[]>> = {};

  /** Whether `VideoOutcome` says that a person is waited for. */
  #parked = false;

  /** Stage and attempt that were logged last: one that is entered again has not changed. */
  #logged = '';

  constructor() {
    wf.setHandler(progressQuery, () => this.#state);
    this.enter('preparing');
  }

  get state(): VideoProgress {
    return this.#state;
  }

  /** @param more - Goes into the log line; neither texts of callers nor of the provider. */
  enter(stage: Stage, more: Readonly<Record<string, unknown>> = {}): void {
    this.#show({ stage, waiting_for: WAITING_FOR[stage], since_ms: Date.now(), slot: null, attention: null });
    const transition = `${stage} ${this.#state.attempt}`;
    if (transition !== this.#logged) logTransition(this.#state, more);
    this.#logged = transition;
    if (!this.#parked || !GOES_ON.includes(stage)) return;
    this.#parked = false;
    this.#attribute({ VideoOutcome: ['running'] });
  }

  /**
   * Says whether the namespace knows our search attributes; until then only a start by our client tells.
   * @param caller - Those that say whose run it is. What its starter has not set goes along with the next that is set: an Action less.
   */
  attributes(known: boolean, caller: Readonly<Record<string, string[]>> = {}): void {
    this.#attributesKnown = known;
    const { searchAttributes: set } = wf.workflowInfo();
    this.#unset = Object.fromEntries(Object.entries(caller).filter(([name]) => set[name] === undefined));
  }

  /** Everything is ready; told again whenever the account's slots say how far ahead the run is. */
  waitingForSlot(slot: SlotPlace): void {
    const { budget } = slot;
    this.#show({ slot, waiting_for: budget === undefined ? WAITING_FOR.waiting_for_slot : noRoomYet(budget) });
  }

  /** The account's slots do not answer, and nothing may be bought without them. */
  waitingForSlots(): void {
    this.#show({ waiting_for: NO_SLOTS, slot: null });
  }

  /** Another task is bought, because the last one failed free of charge. */
  nextAttempt(): void {
    this.#show({ attempt: this.#state.attempt + 1, task_id: null, ...NOT_RENDERING });
  }

  bought(taskId: string): void {
    this.#show({ task_id: taskId });
    this.#attribute({ VideoTaskId: [taskId] });
  }

  rendering({ startedAtMs, earliestAtMs, latestAtMs, samples }: RenderProgress): void {
    const queuedMs = startedAtMs === null ? null : Math.max(0, startedAtMs - this.#state.since_ms);
    this.enter('rendering');
    this.#show({
      queued_seconds: queuedMs === null ? null : queuedMs / 1000,
      rendering_since_ms: startedAtMs,
      eta: { earliest_ms: earliestAtMs, latest_ms: latestAtMs, samples },
    });
  }

  attention(attention: Attention): void {
    this.enter('needs_attention');
    this.#show({ attention });
    this.onAttention(attention);
    if (this.#parked) return; // asked again: after a refused decision, or another look
    this.#parked = true;
    this.#attribute({ VideoOutcome: ['needs_attention'] });
  }

  finished(result: VideoResult): VideoResult {
    const { video_url, duration, width, height, source, usage } = result;
    const cost = source === 'generated' ? `, ${usage.billed_seconds} s billed` : '';
    this.#end = [`\`${video_url}\``, `${duration} s, ${width}x${height}, ${source}${cost}`];
    this.#show({ task_id: result.task_id });
    this.enter('done', { source, billedSeconds: source === 'generated' ? usage.billed_seconds : 0 });
    workerSinks.runEnded(source, null);
    this.#attribute({ VideoTaskId: [result.task_id], VideoOutcome: [result.source] });
    return result;
  }

  /** A salvage that found nothing to keep. */
  nothing(): null {
    this.enter('done', { source: null, billedSeconds: 0 });
    workerSinks.runEnded('nothing_bought', null);
    this.#attribute({ VideoOutcome: ['nothing_bought'] });
    return null;
  }

  failed(failure: VideoFailure | undefined): void {
    if (failure !== undefined) this.#end = failureLines(failure);
    const type = failure?.type ?? 'unknown';
    if (failure?.type === 'BudgetReached') {
      this.enter('budget_reached');
      workerSinks.runEnded('budget_reached', null);
      this.#attribute({ VideoOutcome: ['budget_reached'], VideoErrorCode: [type] });
      return;
    }
    this.enter('failed', { errorType: type, code: failure?.code ?? null, billed: failure?.billed ?? null });
    workerSinks.runEnded('failed', type);
    this.#attribute({ VideoOutcome: ['failed'], VideoErrorCode: [failure?.code ?? failure?.type ?? 'unknown'] });
  }

  cancelled(by: EndedBy, what: Omit<CancelOutcome, 'reason'>): void {
    this.#show({ cancel: { ...what, reason: by.how === 'deadline' ? 'deadline_seconds passed' : by.reason } });
    this.enter('cancelled', { by: by.how, billed: what.billed });
    if (by.how === 'cancel') workerSinks.runEnded('cancelled', null); // a deadline ends as a failure
    this.#attribute({ VideoOutcome: ['cancelled'] });
  }

  #attribute(values: Record<string, string[]>): void {
    if (!this.#attributesKnown) return;
    wf.upsertSearchAttributes({ ...this.#unset, ...values });
    this.#unset = {};
  }

  #show(change: Partial<VideoProgress>): void {
    this.#state = { ...this.#state, ...change };
    const { stage, waiting_for, task_id, attempt, eta, slot, attention, cancel } = this.#state;
    const lines = [`**${stage}**`];
    if (waiting_for !== 'nothing') lines.push(`waiting for ${waiting_for}`);
    if (attempt > 1) lines.push(`attempt ${attempt}`);
    if (task_id !== null) lines.push(`task \`${task_id}\``);
    if (stage === 'rendering' && eta !== null) lines.push(`expected ${timeRange(eta)}`);
    if (slot !== null) lines.push(placeText(slot));
    if (attention !== null) lines.push(...attentionLines(attention));
    if (cancel !== null) lines.push(cancel.outcome, ...(cancel.reason === null ? [] : [`reason: ${cancel.reason}`]));
    lines.push(...this.#end);
    wf.setCurrentDetails(lines.join('  \n'));
  }
}

/** `17:03:10 to 17:03:20 UTC` */
function timeRange({ earliest_ms, latest_ms }: Eta): string {
  return `${utcTime(earliest_ms)} to ${utcTime(latest_ms)} UTC`;
}

function failureLines({ type, message, billed, next_step }: VideoFailure): string[] {
  return [
    `${type}: ${message}`,
    ...(billed === undefined ? [] : [billed ? 'It is billed.' : 'Nothing is billed.']),
    ...(next_step === undefined ? [] : [`next: ${next_step}`]),
  ];
}

function attentionLines({ reason, candidates, refused }: Attention): string[] {
  const id = wf.workflowInfo().workflowId;
  return [
    reason,
    ...candidates.map(
      ({ task_id, evidence, archived }) => `candidate \`${task_id}\`: ${evidence}; ${archived ?? 'no video'}`,
    ),
    ...(refused === null ? [] : [`The last decision was refused: ${refused}`]),
    `decide: \`wan-video resolve ${id} --task T\` or \`wan-video resolve ${id} --buy\``,
  ];
}

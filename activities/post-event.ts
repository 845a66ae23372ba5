import { totalAmount } from '../src/config/prices.js';
import { FailureType } from '../src/contract/failure-type.js';
import { webhookWorkflowId } from '../src/contract/names.js';
import { VideoError } from '../src/contract/video-error.js';
import { DEFAULT_RECEIVER, type WebhookEvent, type WebhookEvents, type WebhookRoute } from '../src/contract/webhook.js';
import { linkExpiry } from '../src/storage/asset-links.js';
import { batchReportKey, deliveredKey } from '../src/storage/keys.js';
import { unknownReceiver } from '../src/webhook/webhook-receivers.js';
import type { ActivityDeps } from './deps.js';
import { withSignal } from './with-signal.js';

/** An event, and where it goes. */
export interface PostEventInput {
  readonly event: WebhookEvent;
  /** Absent: to the default receiver, as the first event of its run. */
  readonly route?: WebhookRoute | undefined;
}

/**
 * POSTs one event to its receiver, after those before it of the same run. Every attempt delivers the same id, by which
 * a receiver recognizes an event that it has processed.
 */
export function createPostEvent(deps: ActivityDeps) {
  const { webhook, isRunOpen } = deps;
  return ({ event, route }: PostEventInput): Promise<{ status: number }> =>
    withSignal(async (signal) => {
      if (webhook === undefined) {
        // Another worker of the queue has one, or the event would not exist.
        throw new VideoError(FailureType.ConfigurationInvalid, 'This worker has no webhook', {
          retryable: true,
          nextStep: 'Start every worker with the same WAN_VIDEO_WEBHOOK.',
        });
      }
      const { receiver, after } = route ?? { receiver: DEFAULT_RECEIVER, after: null };
      if (after !== null && (await isRunOpen(webhookWorkflowId(after)))) {
        throw new VideoError(FailureType.WebhookUnavailable, `The event ${after} of this run is not delivered yet`, {
          retryable: true,
          nextStep: 'It is delivered first; this one follows.',
        });
      }
      const complete = await completeEvent(event, deps, webhook.linkSecondsOf(receiver));
      return { status: await webhook.send(receiver, complete, { signal }) };
    });
}

/** Adds what only a worker knows: the cost, the address of the report, and a signed address of the video. */
async function completeEvent(
  event: WebhookEvent,
  { prices, store, clock }: ActivityDeps,
  linkSeconds: number | undefined,
): Promise<WebhookEvent> {
  if (event.type === 'run.needs_attention' || event.type === 'run.budget_reached') return event;
  if (event.type === 'audit.orphans' || event.type === 'schedule.runs_missed') return event;
  if (event.type === 'run.ended') {
    const { video } = event.data;
    if (video === null || linkSeconds === undefined || store.presign === undefined) return event;
    const nowMs = clock.now();
    const url = await store.presign(deliveredKey({ task_id: video.task_id, video_url: video.url }), {
      seconds: linkSeconds,
    });
    const link = { url, expires_at: linkExpiry(nowMs, linkSeconds) };
    return { ...event, data: { ...event.data, link } };
  }
  const { data } = event;
  const isReported = event.type === 'batch.ended' && data.state !== 'failed';
  return {
    ...event,
    data: {
      ...data,
      amount: prices === undefined ? null : totalAmount(prices, data.billed),
      report_url: isReported ? store.url(batchReportKey(data.batch_id)) : null,
    },
  };
}

/**
 * The events of the receiver that a run names, or of the default one, as a step hands them to its run; nothing where
 * there is none.
 * @throws VideoError `InvalidRequest` for a name that no receiver of this worker has.
 */
export function subscribedEvents(
  { webhook }: Pick<ActivityDeps, 'webhook'>,
  receiver?: string | null,
): { webhookEvents?: WebhookEvents } {
  if (webhook === undefined && receiver != null) throw unknownReceiver(receiver, []);
  const webhookEvents = webhook?.eventsOf(receiver ?? undefined);
  return webhookEvents === undefined ? {} : { webhookEvents };
}

/** The same for what fails before its receiver is checked: the default one where it names none that is known. */
export function knownEvents(
  deps: Pick<ActivityDeps, 'webhook'>,
  receiver: unknown,
): ReturnType<typeof subscribedEvents> {
  try {
    return subscribedEvents(deps, typeof receiver === 'string' ? receiver : null);
  } catch {
    return subscribedEvents(deps);
  }
}

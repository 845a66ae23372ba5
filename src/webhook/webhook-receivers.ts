import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { DEFAULT_RECEIVER, type WebhookDelivery, type WebhookEvents } from '../contract/webhook.js';
import type { WebhookReceiverSettings } from './webhook-file.js';
import { WebhookSender, type WebhookSenderOptions } from './webhook-sender.js';

/** The receivers of a worker, by name. */
export class WebhookReceivers {
  readonly #senders: ReadonlyMap<string, WebhookSender>;

  constructor(receivers: WebhookReceiverSettings, options: Omit<WebhookSenderOptions, 'settings'>) {
    this.#senders = new Map(
      [...receivers].map(([name, settings]) => [name, new WebhookSender({ ...options, settings })]),
    );
  }

  /**
   * The events of the receiver that a run names, or of the default one; undefined: there is none.
   * @throws {@link VideoError} `InvalidRequest` for a name that no receiver has.
   */
  eventsOf(name: string | undefined): WebhookEvents | undefined {
    if (name === undefined) return this.#senders.get(DEFAULT_RECEIVER)?.settings.events;
    const sender = this.#senders.get(name);
    if (sender === undefined) throw unknownReceiver(name, [...this.#senders.keys()]);
    return { receiver: name, events: sender.settings.events };
  }

  /** How long signed addresses for this receiver are valid, in seconds; undefined: it gets none. */
  linkSecondsOf(name: string): number | undefined {
    return this.#senders.get(name)?.settings.linkSeconds;
  }

  /**
   * Delivers one event once, as {@link WebhookSender.send} does.
   * @throws {@link VideoError} `ConfigurationInvalid`, retryable, when this worker has no such receiver.
   */
  async send(name: string, event: WebhookDelivery, options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const sender = this.#senders.get(name);
    if (sender !== undefined) return sender.send(event, options);
    throw new VideoError(FailureType.ConfigurationInvalid, `This worker has no webhook receiver ${name}`, {
      retryable: true,
      nextStep: 'Start every worker with the same WAN_VIDEO_WEBHOOK.',
    });
  }

  /** Closes the connections and aborts the deliveries in progress. */
  async close(): Promise<void> {
    await Promise.all([...this.#senders.values()].map((sender) => sender.close()));
  }
}

/** The refusal of a name; nothing was bought. */
export function unknownReceiver(name: string, known: readonly string[]): VideoError {
  const names = known.length === 0 ? 'none is configured' : `known are ${known.join(', ')}`;
  const message = `names no receiver of the workers' WAN_VIDEO_WEBHOOK: ${name}; ${names}`;
  return new VideoError(FailureType.InvalidRequest, `receiver ${message}`, {
    issues: [{ path: 'receiver', message }],
    billed: false,
    nextStep: 'Correct the name, or add the receiver to the file of every worker. Nothing was bought.',
  });
}

import { type Dispatcher, request } from 'undici';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type { WebhookDelivery } from '../contract/webhook.js';
import { createDispatcher } from '../net/dispatcher.js';
import type { Proxies } from '../net/proxies.js';
import { parseRetryAfter } from '../net/retry-after.js';
import { signatureOf, WEBHOOK_HEADERS } from './signature.js';
import { slackMessage } from './slack-message.js';
import type { WebhookSettings } from './webhook-file.js';

/** What a sender needs. */
export interface WebhookSenderOptions {
  readonly settings: WebhookSettings;
  readonly proxies: Proxies;
  /** Longest wait for the status of an answer, in milliseconds. */
  readonly timeoutMs: number;
  /** The current time in milliseconds since the epoch. */
  readonly now: () => number;
}

/** Refusals that may pass without a change; any other 4xx would come again. */
const TEMPORARY_REFUSALS: readonly number[] = [408, 425, 429];
/** A receiver may request a pause of an hour, but not of the rest of the day. */
const RETRY_AFTER_MAX_MS = 3_600_000;

/**
 * Sends signed messages to the configured receiver. A private address is allowed, because the operator chose it; no
 * redirect is followed.
 */
export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  readonly #dispatcher: Dispatcher;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
    this.#dispatcher = createDispatcher(options.proxies);
  }

  get settings(): WebhookSettings {
    return this.#options.settings;
  }

  /** Host and port, as messages name the receiver. */
  get host(): string {
    return this.#options.settings.host;
  }

  /**
   * Delivers one event once.
   * @returns the status of the receiver's answer, from 200 to 299.
   * @throws {@link VideoError} `WebhookUnavailable`, retryable: no answer, or one that may change. The receiver may
   * have processed the event.
   * @throws {@link VideoError} `WebhookRefused`: a redirect, or a refusal that would come again.
   * @throws `signal.reason`, unchanged, when the signal aborts.
   */
  async send(event: WebhookDelivery, { signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const { settings, timeoutMs, now } = this.#options;
    const body = JSON.stringify(settings.format === 'slack' ? slackMessage(event) : event);
    const timestampSeconds = Math.floor(now() / 1000);
    const secrets = settings.secrets.map((secret) => secret.reveal());
    const bound = AbortSignal.timeout(timeoutMs);
    let answer: Dispatcher.ResponseData;
    try {
      answer = await request(settings.url.reveal(), {
        method: 'POST',
        dispatcher: this.#dispatcher,
        signal: signal === undefined ? bound : AbortSignal.any([signal, bound]),
        headers: {
          'content-type': 'application/json',
          'user-agent': 'wan-video-temporal',
          [WEBHOOK_HEADERS.id]: event.id,
          [WEBHOOK_HEADERS.timestamp]: String(timestampSeconds),
          ...(secrets.length > 0 && {
            [WEBHOOK_HEADERS.signature]: signatureOf({ id: event.id, timestampSeconds, body }, secrets),
          }),
        },
        body,
      });
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      // Only the code is shown: a library's message may hold the URL.
      const why = bound.aborted ? `no status within ${timeoutMs / 1000} s` : codeOf(cause);
      throw this.#unavailable(`did not answer: ${why}`);
    }
    const { statusCode, headers } = answer;
    answer.body.on('error', () => {}).destroy(); // the status is the whole answer
    if (statusCode >= 200 && statusCode < 300) return statusCode;
    if (statusCode >= 500 || TEMPORARY_REFUSALS.includes(statusCode)) {
      const retryAfterMs = parseRetryAfter([headers['retry-after']].flat()[0], now());
      throw this.#unavailable(`answered ${statusCode}`, retryAfterMs);
    }
    const moved = statusCode < 400;
    throw new VideoError(
      FailureType.WebhookRefused,
      `The webhook's receiver at ${this.host} answered ${statusCode}${moved ? ', and no redirect is followed' : ''}`,
      {
        code: String(statusCode),
        nextStep: moved
          ? 'Write the URL that it redirects to into the file of WAN_VIDEO_WEBHOOK.'
          : "Check the receiver's log; if its URL or secret has changed, correct the file of WAN_VIDEO_WEBHOOK.",
      },
    );
  }

  /** Closes the connections and aborts the deliveries in progress. */
  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  #unavailable(what: string, retryAfterMs?: number): VideoError {
    return new VideoError(FailureType.WebhookUnavailable, `The webhook's receiver at ${this.host} ${what}`, {
      retryable: true,
      ...(retryAfterMs !== undefined && { retryAfterMs: Math.min(retryAfterMs, RETRY_AFTER_MAX_MS) }),
      nextStep: 'Delivery is retried for a day. Check that the receiver is running and reachable from the worker.',
    });
  }
}

const codeOf = (error: unknown): string => {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  return typeof code === 'string' ? code : String(name);
};

import { type Dispatcher, request } from 'undici';
import { redactText } from '../net/redact.js';

/** Largest answer that is read. */
const ANSWER_BYTES_MAX = 1_048_576;

/** One answer of the provider as it came. */
interface WireAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined when it is not JSON. */
  readonly json: Record<string, unknown> | undefined;
}

/** An answer, or the network's fault when there was none. */
export type Exchange = WireAnswer | { readonly status: 0; readonly fault: string };

/** How one request is sent. */
export interface AskOptions {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The provider's wire without interpretation: the check records how the provider really answers. */
export class LiveWire {
  readonly base: string;
  readonly #dispatcher: Dispatcher;
  readonly #headers: Readonly<Record<string, string>>;
  /** Names of all headers that any answer had. */
  readonly headerNames = new Set<string>();

  constructor(base: string, dispatcher: Dispatcher, headers: Readonly<Record<string, string>>) {
    this.base = base;
    this.#dispatcher = dispatcher;
    this.#headers = headers;
  }

  /**
   * Sends one request, once.
   * @param path - Below the base, or a whole address, to which no key is sent.
   */
  async ask(path: string, options: AskOptions = {}): Promise<Exchange> {
    const { method = 'GET', headers = {}, body, timeoutMs = 20_000, signal } = options;
    const own = path.startsWith('/');
    const bound = AbortSignal.timeout(timeoutMs);
    try {
      const answer = await request(own ? `${this.base}${path}` : path, {
        method,
        dispatcher: this.#dispatcher,
        signal: signal === undefined ? bound : AbortSignal.any([signal, bound]),
        headers: own ? { ...this.#headers, ...headers } : headers,
        ...(body !== undefined && { body }),
      });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of answer.body) {
        bytes += (chunk as Buffer).length;
        if (bytes > ANSWER_BYTES_MAX) throw new Error('the answer is too large');
        chunks.push(chunk as Buffer);
      }
      const flat = Object.fromEntries(
        Object.entries(answer.headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
      );
      for (const name of Object.keys(flat)) this.headerNames.add(name);
      return { status: answer.statusCode, headers: flat, json: asObject(Buffer.concat(chunks).toString('utf8')) };
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      const { message, code } = cause as NodeJS.ErrnoException;
      return { status: 0, fault: redactText(message || code || 'no answer') };
    }
  }
}

function asObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A member of a JSON object, or of one within it. */
export function member(json: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, name) => (typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined),
    json,
  );
}

/** A member that is a text and not empty. */
export function textOf(exchange: Exchange, ...path: readonly string[]): string | undefined {
  const value = 'json' in exchange ? member(exchange.json, ...path) : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The outcome of a request in few words: `400 InvalidParameter`, or the network's fault. */
export function outcomeOf(exchange: Exchange): string {
  if ('fault' in exchange) return `no answer: ${exchange.fault}`;
  const code = textOf(exchange, 'code') ?? textOf(exchange, 'output', 'task_status');
  return `${exchange.status} ${code ?? (exchange.json === undefined ? 'without JSON' : 'without a code')}`;
}

/** Texts of the wire that describe the provider and do not identify an account. */
const PUBLIC_TEXTS = /^(code|message|msg|task_status|status|model_name|orig_prompt|\w+_time|x_oss_\w+|region)$/;
/** Members that identify an account. */
const IDENTIFYING = /(uid|parent_id|key_id)$/;
const RECORDED_HEADERS = /^(content-type|content-range|accept-ranges|retry-after|x-ratelimit\S*|ratelimit\S*|allow)$/;

/** An answer for the record: its form and its public texts; of ids, addresses and other texts only what they are. */
export function redacted(exchange: Exchange): unknown {
  if ('fault' in exchange) return exchange;
  const { status, headers, json } = exchange;
  const recorded = Object.fromEntries(Object.entries(headers).filter(([name]) => RECORDED_HEADERS.test(name)));
  return { status, headers: recorded, header_names: Object.keys(headers).sort(), body: redactedJson(json, '') };
}

function redactedJson(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map((item) => redactedJson(item, name));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactedJson(item, key)]));
  }
  if (IDENTIFYING.test(name)) return '[id]';
  if (typeof value !== 'string') return value;
  if (/^https?:\/\//i.test(value))
    return redactText(value).replace(/\/[^?]*/, (path) => path.slice(0, 2) + hostOf(path));
  return PUBLIC_TEXTS.test(name) ? redactText(value) : `[text of ${value.length}]`;
}

/** `//host/…` → `/host/…`; the path names the account's folder. */
const hostOf = (path: string): string => `${path.slice(2).split('/')[0] ?? ''}/…`;

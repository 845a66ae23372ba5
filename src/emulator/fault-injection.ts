import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import type { FastifyReply } from 'fastify';
import type { Clock } from './clock.js';
import type { EmulatorFault } from './faults.js';
import { expiredError } from './result-store.js';
import {
  errorResponse,
  type HttpResponse,
  type Json,
  StoreError,
  send,
  toByteSource,
  writeHead,
  writePieces,
} from './wire.js';

/** A request to be answered, with the fault that hits it, if any. */
export interface Exchange {
  readonly fault: EmulatorFault | undefined;
  readonly reply: FastifyReply;
  readonly requestId: string;
  /** `code` of a 429 when the fault has none. */
  readonly throttleCode: string;
  readonly now: Clock;
  /** Aborts when the emulator closes, which ends every wait. */
  readonly closing: AbortSignal;
  /** Applies the setting `drift` and the fault's changes to a response; `handle` has applied them already. */
  readonly drift: (response: HttpResponse) => HttpResponse;
  /** Lets the request take effect and returns its response; a refused request resolves to one, too. */
  readonly handle: () => Promise<HttpResponse>;
}

const DEFAULT_DELAY_MS = 1000;

/** A slow body is sent in this many pieces, so that a client's timeout for a single read does not end it early. */
const SLOW_PIECES = 20;

/** HTML page such as a gateway sends; it is not the provider's JSON. */
const htmlPage = (title: string): string =>
  `<html>\n<head><title>${title}</title></head>\n<body>\n<center><h1>${title}</h1></center>\n</body>\n</html>\n`;

const STATUS_TEXTS: Record<number, string> = {
  502: 'Bad Gateway',
  503: 'Service Temporarily Unavailable',
  504: 'Gateway Time-out',
};

/** Handles a request and answers it as its fault demands. */
export async function respond(exchange: Exchange): Promise<FastifyReply> {
  const { fault, reply, handle } = exchange;
  switch (fault?.fault) {
    case 'drop-reply':
    case 'reset':
      return breakConnection(exchange, fault);
    case 'delay': {
      const response = fault.when === 'after' ? await handle() : undefined;
      await wait(exchange, fault.delay_ms);
      return send(reply, response ?? (await handle()));
    }
    case 'status':
    case 'gateway':
      if (fault.when === 'after') await handle();
      return send(reply, exchange.drift(injectedError(exchange, fault)));
    case 'malformed': {
      const response = fault.when === 'before' ? undefined : await handle();
      return send(reply, malformed(fault.form, response));
    }
    case 'redirect':
      if (fault.location === undefined) return send(reply, await handle());
      return send(reply, { status: fault.status ?? 302, body: '', headers: { location: fault.location } });
    case 'truncate':
    case 'stall': {
      await sendHalf(reply, await handle());
      if (fault.fault === 'truncate') reply.raw.socket?.destroySoon();
      return reply;
    }
    case 'slow': {
      const source = writeHead(reply, await handle());
      const step = Math.max(1, Math.ceil(source.size / SLOW_PIECES));
      for (let at = 0; at < source.size; at += step) {
        await writePieces(reply, source.read(at, Math.min(at + step, source.size)));
        await wait(exchange, (fault.delay_ms ?? DEFAULT_DELAY_MS) / SLOW_PIECES);
      }
      reply.raw.end();
      return reply;
    }
    case 'zero-fill':
      return send(reply, zeroFilled(await handle(), fault.keep_bytes ?? 0));
    case 'not-mp4':
      return send(reply, { status: 200, body: htmlPage('Welcome'), headers: { 'content-type': 'text/html' } });
    case 'expired':
      return send(reply, errorResponse(expiredError(), exchange.requestId));
    case 'headers': {
      const response = await handle();
      return send(reply, { ...response, headers: { ...response.headers, ...lowerCaseNames(fault.headers) } });
    }
    case 'encoded':
      return send(reply, encoded(await handle(), fault));
    default: // No fault, or one that the route itself applies.
      return send(reply, await handle());
  }
}

async function breakConnection({ reply, handle }: Exchange, { fault, when }: EmulatorFault): Promise<FastifyReply> {
  const { socket } = reply.request.raw;
  const moment = when ?? (fault === 'reset' ? 'before' : 'after');
  const response = moment === 'before' ? undefined : await handle();
  if (moment === 'midway' && response !== undefined) await sendHalf(reply, response);
  else reply.hijack();
  if (fault === 'reset') socket.resetAndDestroy();
  else socket.destroy();
  return reply;
}

/** Sends the headers with the full length, and half of the body. */
async function sendHalf(reply: FastifyReply, response: HttpResponse): Promise<void> {
  const source = writeHead(reply, response, 1);
  reply.raw.flushHeaders();
  await writePieces(reply, source.read(0, source.size >> 1));
}

async function wait({ closing }: Exchange, ms = DEFAULT_DELAY_MS): Promise<void> {
  await sleep(ms, undefined, { signal: closing }).catch(() => undefined);
}

function injectedError({ reply, requestId, throttleCode, now }: Exchange, fault: EmulatorFault): HttpResponse {
  const { retry_after, retry_after_as } = fault;
  if (retry_after !== undefined) {
    const isDate = retry_after_as === 'date' && typeof retry_after === 'number';
    reply.header('retry-after', isDate ? new Date(now() + retry_after * 1000).toUTCString() : String(retry_after));
  }
  if (fault.fault === 'gateway') {
    const { status = 502 } = fault;
    const body = htmlPage(`${status} ${STATUS_TEXTS[status] ?? 'Error'}`);
    return { status, body, headers: { 'content-type': 'text/html' } };
  }
  const { status = 500, message = 'An internal error has occurred, please try again later.' } = fault;
  const code = fault.code ?? (status === 429 ? throttleCode : 'InternalError');
  if (fault.on === 'upload' || fault.on === 'download') {
    return errorResponse(new StoreError(status, code, message), requestId);
  }
  return { status, ...inEnvelope(fault.envelope, { code, message }, requestId) };
}

/** Returns the body of an error in one of the forms that clients of the provider and its gateways have met. */
function inEnvelope(
  envelope: EmulatorFault['envelope'] = 'top',
  error: { code: string; message: string },
  request_id: string,
): Pick<HttpResponse, 'body' | 'headers'> {
  switch (envelope) {
    case 'top':
      return { body: { ...error, request_id } };
    case 'output':
      return { body: { output: error, request_id } };
    case 'error':
      return { body: { error, request_id } };
    case 'error-text':
      return { body: { error: error.message, request_id } };
    case 'text':
      return { body: error.message, headers: { 'content-type': 'text/plain' } };
    case 'empty':
      return { body: '' };
  }
}

function lowerCaseNames(headers: EmulatorFault['headers'] = {}): Record<string, string | null> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

const COMPRESS = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };

/** Returns the response with a `Content-Encoding` that the request does not allow. */
function encoded(response: HttpResponse, { encoding = 'gzip', compressed = true }: EmulatorFault): HttpResponse {
  const headers = { 'content-type': 'application/json', ...response.headers, 'content-encoding': encoding };
  const source = toByteSource(response.body);
  if (!compressed) return { ...response, headers, body: source };
  const bytes = COMPRESS[encoding](Buffer.concat([...source.read(0, source.size)]));
  return { ...response, headers, body: { size: bytes.length, read: (from, to) => [bytes.subarray(from, to)] } };
}

/** Returns a 200 without a usable answer; it is made from the real response if there is one. */
function malformed(form: EmulatorFault['form'] = 'not-json', response: HttpResponse | undefined): HttpResponse {
  const real = (response?.body ?? { output: { task_status: 'PENDING' } }) as Json | string;
  const json = typeof real === 'string' ? real : JSON.stringify(real);
  const ok = (body: string, type = 'application/json'): HttpResponse => ({
    status: 200,
    body,
    headers: { 'content-type': type },
  });
  switch (form) {
    case 'not-json':
      return ok('upstream connect error or disconnect');
    case 'truncated':
      return ok(json.slice(0, json.length >> 1));
    case 'empty':
      return ok('');
    case 'html':
      return ok(htmlPage('Welcome'), 'text/html');
    case 'text':
      return ok(json, 'text/plain');
    case 'no-output':
      return ok('{}');
  }
}

/** Returns the response with zeros after its first bytes. */
function zeroFilled(response: HttpResponse, keepBytes: number): HttpResponse {
  const source = toByteSource(response.body);
  return {
    ...response,
    body: {
      size: source.size,
      *read(from, to) {
        let at = from;
        for (const piece of source.read(from, to)) {
          const copy = Buffer.from(piece);
          copy.fill(0, Math.min(Math.max(0, keepBytes - at), copy.length));
          at += copy.length;
          yield copy;
        }
      },
    },
  };
}

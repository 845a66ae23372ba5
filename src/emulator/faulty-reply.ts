import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';
import type { Clock } from './clock.js';
import type { EmulatorFault } from './faults.js';
import { expired } from './result-store.js';
import {
  type Answer,
  ApiError,
  bytesOf,
  type Json,
  refusal,
  StoreError,
  send,
  writeHead,
  writePieces,
} from './wire.js';

/** One request that is to be answered under a fault, or under none. */
export interface Exchange {
  readonly fault: EmulatorFault | undefined;
  readonly reply: FastifyReply;
  readonly requestId: string;
  /** `code` of a 429 for which the fault names none. */
  readonly throttleCode: string;
  readonly now: Clock;
  /** Aborts when the emulator closes: nothing may wait longer. */
  readonly closing: AbortSignal;
  /** Lets the request take effect; refusals are answers, not errors. */
  run(): Promise<Answer>;
}

/** A slow body comes in this many pieces: enough that no time-out for a single read ends it early. */
const SLOW_PIECES = 20;

/** A page such as a gateway in front of the service shows; it is not the provider's JSON. */
const page = (title: string): string =>
  `<html>\n<head><title>${title}</title></head>\n<body>\n<center><h1>${title}</h1></center>\n</body>\n</html>\n`;

const REASONS: Record<number, string> = {
  502: 'Bad Gateway',
  503: 'Service Temporarily Unavailable',
  504: 'Gateway Time-out',
};

/** Runs the request and answers it, or spoils the answer as its fault says. */
export async function answer(exchange: Exchange): Promise<FastifyReply> {
  const { fault, reply } = exchange;
  switch (fault?.fault) {
    case 'drop-reply':
    case 'reset':
      return cutOff(exchange, fault);
    case 'delay': {
      const early = fault.when === 'after' ? await exchange.run() : undefined;
      await pause(exchange, fault.delay_ms);
      return send(reply, early ?? (await exchange.run()));
    }
    case 'status':
    case 'gateway':
      if (fault.when === 'after') await exchange.run();
      return send(reply, errorAnswer(exchange, fault));
    case 'malformed': {
      const answered = fault.when === 'before' ? undefined : await exchange.run();
      return send(reply, unreadable(fault.form, answered));
    }
    case 'redirect':
      return send(reply, { status: fault.status ?? 302, body: '', headers: { location: fault.location ?? '' } });
    case 'truncate':
    case 'stall': {
      await writeHalf(reply, await exchange.run());
      if (fault.fault === 'truncate') reply.raw.socket?.destroySoon();
      return reply;
    }
    case 'slow': {
      const source = writeHead(reply, await exchange.run());
      const step = Math.max(1, Math.ceil(source.size / SLOW_PIECES));
      for (let at = 0; at < source.size; at += step) {
        await writePieces(reply, source.read(at, Math.min(at + step, source.size)));
        await pause(exchange, (fault.delay_ms ?? 1000) / SLOW_PIECES);
      }
      reply.raw.end();
      return reply;
    }
    case 'zero-fill':
      return send(reply, zeroFilled(await exchange.run(), fault.keep_bytes ?? 0));
    case 'not-mp4':
      return send(reply, { status: 200, body: page('Welcome'), headers: { 'content-type': 'text/html' } });
    case 'expired':
      return send(reply, refusal(expired(), exchange.requestId));
    default: // none, or one that the route itself obeys
      return send(reply, await exchange.run());
  }
}

async function cutOff({ reply, run }: Exchange, { fault, when }: EmulatorFault): Promise<FastifyReply> {
  const { socket } = reply.request.raw;
  const moment = when ?? (fault === 'reset' ? 'before' : 'after');
  const answered = moment === 'before' ? undefined : await run();
  if (moment === 'midway' && answered !== undefined) await writeHalf(reply, answered);
  else reply.hijack();
  if (fault === 'reset') socket.resetAndDestroy();
  else socket.destroy();
  return reply;
}

/** Sends the head with the whole length, and half of the body. */
async function writeHalf(reply: FastifyReply, answered: Answer): Promise<void> {
  const source = writeHead(reply, answered, 1);
  reply.raw.flushHeaders();
  await writePieces(reply, source.read(0, source.size >> 1));
}

async function pause({ closing }: Exchange, ms = 1000): Promise<void> {
  await sleep(ms, undefined, { signal: closing }).catch(() => undefined);
}

function errorAnswer({ reply, requestId, throttleCode, now }: Exchange, fault: EmulatorFault): Answer {
  const { retry_after, retry_after_as, code, message } = fault;
  if (retry_after !== undefined) {
    const asDate = retry_after_as === 'date' && typeof retry_after === 'number';
    const value = asDate ? new Date(now() + retry_after * 1000).toUTCString() : String(retry_after);
    reply.header('retry-after', value);
  }
  if (fault.fault === 'gateway') {
    const status = fault.status ?? 502;
    return { status, body: page(`${status} ${REASONS[status] ?? 'Error'}`), headers: { 'content-type': 'text/html' } };
  }
  const status = fault.status ?? 500;
  const Kind = fault.on === 'upload' || fault.on === 'download' ? StoreError : ApiError;
  const said = message ?? 'An internal error has occurred, please try again later.';
  return refusal(new Kind(status, code ?? (status === 429 ? throttleCode : 'InternalError'), said), requestId);
}

/** A 200 that says nothing; built from the real answer where there is one. */
function unreadable(form: EmulatorFault['form'] = 'not-json', answered: Answer | undefined): Answer {
  const real: Json | string =
    answered === undefined ? { output: { task_status: 'PENDING' } } : (answered.body as Json | string);
  const json = typeof real === 'string' ? real : JSON.stringify(real);
  const as = (body: string, type = 'application/json'): Answer => ({
    status: 200,
    body,
    headers: { 'content-type': type },
  });
  switch (form) {
    case 'not-json':
      return as('upstream connect error or disconnect');
    case 'truncated':
      return as(json.slice(0, json.length >> 1));
    case 'empty':
      return as('');
    case 'html':
      return as(page('Welcome'), 'text/html');
    case 'text':
      return as(json, 'text/plain');
    case 'no-output':
      return as('{}');
  }
}

function zeroFilled(answered: Answer, keep: number): Answer {
  const source = bytesOf(answered.body);
  return {
    ...answered,
    body: {
      size: source.size,
      *read(from, to) {
        let at = from;
        for (const piece of source.read(from, to)) {
          const copy = Buffer.from(piece);
          copy.fill(0, Math.min(Math.max(0, keep - at), copy.length));
          at += copy.length;
          yield copy;
        }
      },
    },
  };
}

import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A JSON object as it stands on the wire. */
export type Json = Record<string, unknown>;

/** Bytes that need not be in memory at once: a video padded to 200 MB is written in pieces. */
export interface ByteSource {
  readonly size: number;
  /** Bytes `from` (inclusive) to `to` (exclusive), in pieces. */
  read(from: number, to: number): Iterable<Uint8Array>;
}

/** What a route answers. */
export interface Answer {
  status: number;
  /** An object is sent as JSON. */
  body: Json | string | ByteSource;
  headers?: Record<string, string>;
}

/** An error in the provider's JSON form. */
export class ApiError extends Error {
  override readonly name: string = 'ApiError';
  readonly status: number;
  readonly code: string;
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** An error in the object store's XML form. */
export class StoreError extends ApiError {
  override readonly name = 'StoreError';
}

/** The answer that says `error`. */
export function refusal(error: ApiError, requestId: string): Answer {
  const { status, code, message, headers } = error;
  if (error instanceof StoreError) {
    const body =
      `<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n  <Code>${code}</Code>\n  <Message>${message}</Message>\n` +
      `  <RequestId>${requestId}</RequestId>\n</Error>\n`;
    return { status, body, headers: { 'content-type': 'application/xml', ...headers } };
  }
  return { status, body: { code, message, request_id: requestId }, headers };
}

/** Any body as a source of bytes. */
export function bytesOf(body: Answer['body']): ByteSource {
  if (typeof body !== 'string' && isByteSource(body)) return body;
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { size: bytes.length, read: (from, to) => [bytes.subarray(from, to)] };
}

/**
 * Sends status and headers alone; whoever calls it writes the body.
 * @param promised - least `Content-Length`: a body that is to be cut needs one that it can fall short of.
 */
export function writeHead(reply: FastifyReply, answer: Answer, promised = 0): ByteSource {
  const source = bytesOf(answer.body);
  for (const [name, value] of Object.entries(answer.headers ?? {})) reply.header(name, value);
  const isJson = typeof answer.body !== 'string' && !isByteSource(answer.body);
  if (isJson && !reply.hasHeader('content-type')) reply.header('content-type', 'application/json');
  // A 204 has no body and so no length (RFC 9110, section 8.6).
  if (answer.status !== 204) reply.header('content-length', Math.max(source.size, promised));
  reply.hijack();
  reply.raw.writeHead(answer.status, reply.getHeaders() as OutgoingHttpHeaders);
  return source;
}

/** Sends a whole answer; for HEAD the server leaves out the body by itself. */
export async function send(reply: FastifyReply, answer: Answer): Promise<FastifyReply> {
  const source = writeHead(reply, answer);
  await writePieces(reply, source.read(0, source.size));
  reply.raw.end();
  return reply;
}

/** Writes pieces at the speed of the reader, each handed to the system before the next; ends early when the reader is gone. */
export async function writePieces(reply: FastifyReply, pieces: Iterable<Uint8Array>): Promise<void> {
  const { raw } = reply;
  for (const piece of pieces) {
    if (raw.destroyed || raw.closed) return;
    if (piece.length === 0) continue;
    await new Promise<void>((resolve) => {
      raw.once('close', resolve);
      raw.write(piece, () => {
        raw.off('close', resolve);
        resolve();
      });
    });
  }
}

/** A request header, the first one when it was sent twice. */
export function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The origin under which the client reached us: addresses in answers must work for it. */
export function originOf(request: FastifyRequest): string {
  // Behind something that speaks TLS for us.
  const scheme = request.headers['x-forwarded-proto'] === 'https' ? 'https' : 'http';
  return `${scheme}://${request.headers.host ?? ''}`;
}

/** Parses a JSON object out of a body. @throws ApiError 400 when it is none. */
export function parseObject(body: unknown): Json {
  try {
    const value: unknown = JSON.parse(textOf(body));
    if (isObject(value)) return value;
  } catch {
    // answered below
  }
  throw new ApiError(400, 'BadRequest.IllegalInput', 'Required body invalid, please check the request body format.');
}

/** The text of a body; empty when there was none. */
export function textOf(body: unknown): string {
  return Buffer.isBuffer(body) ? body.toString('utf8') : '';
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object without its null members: the service takes null as absent. */
export function present(value: unknown): Json {
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null)) : {};
}

function isByteSource(body: Json | ByteSource): body is ByteSource {
  return typeof body['read'] === 'function';
}

import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A JSON object of a request or a response. */
export type Json = Record<string, unknown>;

/** Bytes that need not be in memory at once: a video padded to 200 MB is written in pieces. */
export interface ByteSource {
  readonly size: number;
  /** Returns bytes `from` (inclusive) to `to` (exclusive) in pieces. */
  read(from: number, to: number): Iterable<Uint8Array>;
}

/** The response of a route. */
export interface HttpResponse {
  status: number;
  /** An object is sent as JSON. */
  body: Json | string | ByteSource;
  /** A header that is null is not sent, even if it usually is. */
  headers?: Record<string, string | null>;
}

/** An error that is answered in the provider's JSON form. */
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

/** An error that is answered in the object store's XML form. */
export class StoreError extends ApiError {
  override readonly name = 'StoreError';
}

/** Returns the response for an error. */
export function errorResponse(error: ApiError, requestId: string): HttpResponse {
  const { status, code, message, headers } = error;
  if (error instanceof StoreError) {
    const body =
      `<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n  <Code>${code}</Code>\n  <Message>${message}</Message>\n` +
      `  <RequestId>${requestId}</RequestId>\n</Error>\n`;
    return { status, body, headers: { 'content-type': 'application/xml', ...headers } };
  }
  return { status, body: { code, message, request_id: requestId }, headers };
}

/** Returns any body as a source of bytes. */
export function toByteSource(body: HttpResponse['body']): ByteSource {
  if (isByteSource(body)) return body;
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { size: bytes.length, read: (from, to) => [bytes.subarray(from, to)] };
}

/**
 * Sends status and headers; the caller writes the body, which is returned.
 * @param minLength - least `Content-Length`: a body that is to be truncated needs a length that it can fall short of.
 */
export function writeHead(reply: FastifyReply, response: HttpResponse, minLength = 0): ByteSource {
  const { status, body, headers = {} } = response;
  const source = toByteSource(body);
  for (const [name, value] of Object.entries(headers)) if (value !== null) reply.header(name, value);
  const isJson = typeof body !== 'string' && !isByteSource(body);
  if (isJson && !reply.hasHeader('content-type')) reply.header('content-type', 'application/json');
  // A 204 has no body and therefore no length (RFC 9110, section 8.6).
  if (status !== 204) reply.header('content-length', Math.max(source.size, minLength));
  for (const [name, value] of Object.entries(headers)) if (value === null) reply.removeHeader(name);
  reply.hijack();
  reply.raw.writeHead(status, reply.getHeaders() as OutgoingHttpHeaders);
  return source;
}

/** Sends a whole response; Node.js leaves out the body of a response to HEAD. */
export async function send(reply: FastifyReply, response: HttpResponse): Promise<FastifyReply> {
  const source = writeHead(reply, response);
  await writePieces(reply, source.read(0, source.size));
  reply.raw.end();
  return reply;
}

/** Writes pieces one by one, as fast as the client reads them; returns early when the client has disconnected. */
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

/** Returns a request header; of one that was sent twice, the first. */
export function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** Returns the origin at which the client reached the server: addresses in a response must work for this client. */
export function originOf(request: FastifyRequest): string {
  // A proxy in front of the server may have ended TLS.
  const scheme = request.headers['x-forwarded-proto'] === 'https' ? 'https' : 'http';
  return `${scheme}://${request.headers.host ?? ''}`;
}

/** Parses a body as a JSON object. @throws ApiError 400 for any other body. */
export function parseObject(body: unknown): Json {
  try {
    const value: unknown = JSON.parse(bodyText(body));
    if (isObject(value)) return value;
  } catch {
    // The error below covers a body that is not JSON as well.
  }
  throw new ApiError(400, 'BadRequest.IllegalInput', 'Required body invalid, please check the request body format.');
}

/** Returns the text of a request's body; empty without a body. */
export function bodyText(body: unknown): string {
  return Buffer.isBuffer(body) ? body.toString('utf8') : '';
}

/** Whether a value is a JSON object, neither null nor an array. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a body is bytes, neither text nor JSON. */
export function isByteSource(body: HttpResponse['body']): body is ByteSource {
  return typeof body !== 'string' && typeof body['read'] === 'function';
}

import { request as sendRequest } from 'node:http';
import { constants, createSecureServer, connect as http2Connect, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Certificates } from './certificates.js';

/** A server with TLS in front of one without. */
export interface TlsFront {
  readonly port: number;
  /** Breaks every connection; new ones are accepted. */
  disconnect(): void;
  close(): Promise<void>;
}

const tlsOf = ({ server: { cert, key } }: Certificates): ServerOptions => ({ cert, key });

/** Puts TLS in front of an HTTP server; the Host header stays, and `X-Forwarded-Proto` says how it came. */
export async function startHttpsFront(target: string, certificates: Certificates): Promise<TlsFront> {
  const { hostname, port } = new URL(target);
  const server = createHttpsServer(tlsOf(certificates), (incoming, response) => {
    const headers = { ...incoming.headers, 'x-forwarded-proto': 'https' };
    const forwarded = sendRequest(
      { hostname, port, method: incoming.method, path: incoming.url, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    forwarded.on('error', () => response.destroy());
    incoming.pipe(forwarded);
  });
  return front(server);
}

/** What a gRPC front demands. */
export interface GrpcFrontOptions {
  /** Only callers with a certificate of the authority. */
  readonly clientCertificate?: boolean;
  /** Only calls with one of these keys as the bearer. */
  readonly apiKeys?: ReadonlySet<string>;
  /** Calls of these services or methods are answered with PERMISSION_DENIED. */
  readonly denied?: RegExp;
}

/** A front that judges each call. */
interface GrpcFront extends TlsFront {
  /** Calls that were let through, and that were not. */
  readonly calls: { count: number; refused: number };
  /** Lets in clients that have a certificate of these authorities (PEM) from now on; open connections stay. */
  trust(...authorities: string[]): void;
}

/**
 * Puts TLS in front of a gRPC server, call by call, so that it can judge each. `calls` counts those that were let
 * through.
 */
export async function startGrpcFront(
  address: string,
  certificates: Certificates,
  { clientCertificate = false, apiKeys, denied }: GrpcFrontOptions = {},
): Promise<GrpcFront> {
  const calls = { count: 0, refused: 0 };
  const behind = http2Connect(`http://${address}`);
  behind.on('error', () => undefined);
  const server = createSecureServer({
    ...tlsOf(certificates),
    ...(clientCertificate && { requestCert: true, rejectUnauthorized: true, ca: certificates.authority }),
  });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const refuse = (code: number, text: string) => {
      calls.refused += 1;
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': code, 'grpc-message': text },
        { endStream: true },
      );
    };
    stream.on('error', () => undefined);
    const apiKey = /^Bearer (.*)$/.exec(headers['authorization'] ?? '')?.[1] ?? '';
    if (apiKeys !== undefined && !apiKeys.has(apiKey)) return refuse(16, 'who are you');
    if (denied?.test(String(headers[':path'])) === true) return refuse(7, 'not allowed');
    calls.count += 1;
    const call = behind.request({ ...headers, ':scheme': 'http', ':authority': address }, { endStream: false });
    stream.pipe(call);
    let trailers: Record<string, unknown> = {};
    call.on('response', (answer, flags) => {
      const endStream = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (stream.destroyed) return;
      stream.respond(answer, { waitForTrailers: !endStream, endStream });
      if (endStream) return;
      stream.on('wantTrailers', () => stream.sendTrailers(trailers as never));
      call.pipe(stream);
    });
    call.on('trailers', (end) => {
      trailers = Object.fromEntries(Object.entries(end).filter(([name]) => !name.startsWith(':')));
    });
    call.on('error', () => stream.destroy());
    stream.on('close', () => call.destroy());
  });
  const opened = await front(server as unknown as Server);
  return {
    ...opened,
    calls,
    trust(...authorities) {
      server.setSecureContext({ ...tlsOf(certificates), ca: [...authorities] });
    },
    async close() {
      behind.destroy();
      await opened.close();
    },
  };
}

async function front(server: Server): Promise<TlsFront> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const disconnect = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    disconnect,
    async close() {
      disconnect();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

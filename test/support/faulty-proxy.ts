import { createServer, type IncomingMessage, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What becomes of a request: `drop-reply` lets it take effect and then cuts the connection, `reset` cuts it before,
 * `not-implemented` refuses it with 501, as older servers refuse a header that they do not know.
 */
export type ProxyFault = 'drop-reply' | 'reset' | 'slow-down' | 'not-implemented' | 'cut-body' | undefined;

export interface FaultyProxy {
  readonly endpoint: string;
  /** Method and path of everything that came in, in order. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/**
 * An HTTP proxy in front of a real server that `faultOf` lets fail. The Host header, which S3 signs, stays as it came.
 */
export async function startFaultyProxy(
  target: string,
  faultOf: (request: IncomingMessage) => ProxyFault,
): Promise<FaultyProxy> {
  const { hostname, port } = new URL(target);
  const requests: string[] = [];
  const server = createServer(async (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const fault = faultOf(request);
    if (fault === 'reset') return void request.socket.destroy();
    const chunks = (await request.toArray().catch(() => undefined)) as Uint8Array[] | undefined;
    if (chunks === undefined) return; // the client hung up
    const body = Buffer.concat(chunks);
    if (fault === 'slow-down') {
      return void response.writeHead(503).end('<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>');
    }
    if (fault === 'not-implemented') {
      const text = 'A header you provided implies functionality that is not implemented';
      return void response.writeHead(501).end(`<Error><Code>NotImplemented</Code><Message>${text}</Message></Error>`);
    }
    const { method, url, headers } = request;
    const forwarded = sendRequest({ hostname, port, method, path: url, headers }, async (answer) => {
      const reply = Buffer.concat((await answer.toArray()) as Uint8Array[]);
      if (fault === 'drop-reply') return void request.socket.destroy();
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      if (fault !== 'cut-body') return void response.end(reply);
      response.write(reply.subarray(0, reply.length / 2), () => request.socket.destroy());
    });
    forwarded.on('error', () => request.socket.destroy());
    forwarded.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

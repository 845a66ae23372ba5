import { createServer, type IncomingMessage, type ServerResponse, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { deferred } from './deferred.js';

/** One request on its way to the server behind the proxy; `reply` is the answer's body, when that is what is held. */
interface PassingRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly body: string;
  readonly reply?: string;
}

/** Holds one request at the gate. */
export interface Hold {
  /** Resolves when a request has come to the gate. */
  readonly reached: Promise<PassingRequest>;
  /** Lets it pass; a request that comes later passes at once. */
  release(): void;
}

/** An HTTP proxy that can hold single requests for as long as a test needs to act meanwhile. */
export interface GateProxy {
  readonly origin: string;
  /**
   * Holds the next request that `fits`: before the server sees it, or after the server has answered.
   * A request whose client hangs up while it is held before the server is never forwarded.
   */
  hold(where: 'before' | 'after', fits: (request: PassingRequest) => boolean): Hold;
  /** Lets everything pass that is held or would be. */
  releaseAll(): void;
  close(): Promise<void>;
}

interface Gate {
  readonly where: 'before' | 'after';
  readonly fits: (request: PassingRequest) => boolean;
  readonly arrived: (request: PassingRequest) => void;
  readonly released: Promise<void>;
  readonly release: () => void;
}

/**
 * Starts a proxy in front of `target`; the Host header stays as it came, so that addresses in answers lead through it.
 */
export async function startGateProxy(target: string): Promise<GateProxy> {
  const { hostname, port } = new URL(target);
  const gates = new Set<Gate>();
  const held = new Set<Gate>();
  const take = (where: Gate['where'], request: PassingRequest): Gate | undefined => {
    const gate = [...gates].find((one) => one.where === where && one.fits(request));
    if (gate === undefined) return undefined;
    gates.delete(gate);
    held.add(gate);
    gate.arrived(request);
    return gate;
  };
  const server = createServer((incoming, response) => {
    pass(incoming, response).catch(() => response.destroy());
  });
  async function pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    let gone = false;
    response.once('close', () => {
      gone = true;
    });
    const { method = 'GET', url = '/', headers } = incoming;
    const body = await bytesOf(incoming);
    const request = { method, url, body: body.toString('utf8') };
    await take('before', request)?.released;
    if (gone) return;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const forwarded = sendRequest({ hostname, port, method, path: url, headers: { ...headers } }, resolve);
      forwarded.once('error', reject);
      forwarded.end(body);
    });
    const reply = await bytesOf(answer);
    await take('after', { ...request, reply: reply.toString('utf8') })?.released;
    if (!answer.complete) return void response.destroy();
    response.writeHead(answer.statusCode ?? 502, answer.headers).end(reply);
  }
  const releaseAll = () => {
    for (const gate of [...gates, ...held]) gate.release();
    gates.clear();
    held.clear();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold(where, fits) {
      const arrived = deferred<PassingRequest>();
      const released = deferred<void>();
      const gate: Gate = {
        where,
        fits,
        arrived: arrived.resolve,
        released: released.promise,
        release: () => released.resolve(),
      };
      gates.add(gate);
      return {
        reached: arrived.promise,
        release() {
          gates.delete(gate);
          held.delete(gate);
          gate.release();
        },
      };
    },
    releaseAll,
    async close() {
      releaseAll();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  return Buffer.concat((await message.toArray()) as Uint8Array[]);
}

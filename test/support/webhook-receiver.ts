import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { WebhookEvent } from '../../src/contract/webhook.js';

/** One message as it came. */
export interface Delivery {
  readonly id: string;
  readonly event: WebhookEvent;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
  /** What it was answered; null: the connection was cut. */
  readonly status: number | null;
}

/** How a message is met: a status, with headers; cut off after it was read; or left without an answer. */
export type Reply = number | 'drop' | 'silence' | { readonly status: number; readonly headers: Record<string, string> };

/** A receiver that keeps everything. */
export interface WebhookReceiver {
  readonly url: string;
  readonly host: string;
  readonly secret: string;
  readonly deliveries: Delivery[];
  /** Deliveries that were taken, of one workflow or batch. */
  taken(about: string): Delivery[];
  /** Meets the messages from now on; undefined: with 204. */
  meet(how: ((event: WebhookEvent) => Reply | undefined) | undefined): void;
  /** Goes away from its port, or comes back to it. */
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
}

/** A secret that nobody else has. */
export const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;

/** Starts a receiver on loopback. */
export async function startReceiver(): Promise<WebhookReceiver> {
  const deliveries: Delivery[] = [];
  let meet: ((event: WebhookEvent) => Reply | undefined) | undefined;
  const server = createServer(async (request, response) => {
    const body = await text(request);
    const event = JSON.parse(body) as WebhookEvent;
    const reply = meet?.(event) ?? 204;
    const status = typeof reply === 'object' ? reply.status : typeof reply === 'number' ? reply : null;
    deliveries.push({ id: String(request.headers['webhook-id']), event, body, headers: request.headers, status });
    if (reply === 'silence') return;
    if (reply === 'drop') return void request.socket.destroy();
    response.writeHead(status ?? 500, typeof reply === 'object' ? reply.headers : {}).end();
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const down = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const host = `127.0.0.1:${port}`;
  const isTaken = ({ status }: Delivery) => status !== null && status < 300;
  return {
    // The path and the query are the operator's secrets, like those of many receivers.
    url: `http://${host}/hooks/private-path?token=private-token`,
    host,
    secret: newSecret(),
    deliveries,
    taken: (about) =>
      deliveries.filter(
        (delivery) =>
          isTaken(delivery) && [delivery.event.data.workflow_id, delivery.event.data.batch_id].includes(about),
      ),
    meet: (how) => {
      meet = how;
    },
    down,
    up: () => listen(port),
    close: down,
  };
}

/** Writes the file of `WAN_VIDEO_WEBHOOK` for several receivers by name, and returns its path. */
export async function receiversFile(
  directory: string,
  receivers: Readonly<Record<string, readonly [receiver: Pick<WebhookReceiver, 'url' | 'secret'>, more?: object]>>,
): Promise<string> {
  const file = join(directory, 'receivers.json');
  const entries = Object.entries(receivers).map(([name, [{ url, secret }, more]]) => [name, { url, secret, ...more }]);
  await writeFile(file, JSON.stringify({ receivers: Object.fromEntries(entries) }));
  return file;
}

/** Writes the file of `WAN_VIDEO_WEBHOOK` for a receiver, its secret next to it, and returns its path. */
export async function webhookFile(
  directory: string,
  { url, secret }: Pick<WebhookReceiver, 'url' | 'secret'>,
  more: object = {},
): Promise<string> {
  const file = join(directory, 'webhook.json');
  await writeFile(join(directory, 'webhook.secret'), `${secret}\n`, { mode: 0o600 });
  await writeFile(file, JSON.stringify({ url, secret_file: 'webhook.secret', ...more }));
  return file;
}

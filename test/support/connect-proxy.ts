import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** A proxy that tunnels to the hosts it knows, which nobody else can resolve, and refuses all others. */
export interface ConnectProxy {
  readonly url: string;
  /** The targets of the CONNECT requests, in order. */
  readonly asked: string[];
  close(): Promise<void>;
}

/**
 * Starts one on loopback.
 * @param hosts - Where each `host:port` leads: a port of this machine.
 * @param user - `name:password` that it demands.
 */
export async function startConnectProxy(hosts: Readonly<Record<string, number>>, user?: string): Promise<ConnectProxy> {
  const asked: string[] = [];
  const open = new Set<Duplex>();
  const server = createServer((_, response) => void response.writeHead(405).end());
  server.on('connect', ({ url = '', headers }, socket: Socket, head) => {
    asked.push(url);
    const port = hosts[url];
    const given = /^Basic (.*)$/.exec(headers['proxy-authorization'] ?? '')?.[1] ?? '';
    socket.on('error', () => undefined);
    if (user !== undefined && Buffer.from(given, 'base64').toString() !== user) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    if (port === undefined) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const behind = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      behind.write(head);
      behind.pipe(socket).pipe(behind);
    });
    for (const end of [socket, behind]) {
      open.add(end);
      end.on('error', () => undefined);
      end.once('close', () => {
        open.delete(end);
        socket.destroy();
        behind.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://${user === undefined ? '' : `${user}@`}127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async close() {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

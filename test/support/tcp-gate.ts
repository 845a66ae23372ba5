import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP address in front of a server that can be switched off and on again: connections break, then are refused. */
export interface TcpGate {
  readonly origin: string;
  down(): Promise<void>;
  up(): Promise<void>;
}

/** Opens the gate in front of `target` (`http://host:port`). */
export async function startTcpGate(target: string): Promise<TcpGate> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let listening = 0;
  const up = async () => {
    const opened = createServer((client) => {
      const behind = connect(Number(port), hostname);
      for (const socket of [client, behind]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.once('close', () => {
          sockets.delete(socket);
          client.destroy();
          behind.destroy();
        });
      }
      client.pipe(behind).pipe(client);
    });
    await new Promise<void>((resolve, reject) => {
      opened.once('error', reject);
      opened.listen(listening, '127.0.0.1', resolve);
    });
    listening = (opened.address() as AddressInfo).port;
    server = opened;
  };
  await up();
  return {
    origin: `http://127.0.0.1:${listening}`,
    up,
    async down() {
      const closing = server;
      server = undefined;
      for (const socket of sockets) socket.resetAndDestroy();
      await new Promise<void>((resolve) => (closing === undefined ? resolve() : closing.close(() => resolve())));
    },
  };
}

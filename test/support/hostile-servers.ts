import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';

const OK = 'HTTP/1.1 200 OK\r\n';

/** Writes until the other end has enough. */
function pour(socket: Socket, chunk: string | Buffer): void {
  const more = () => {
    while (socket.writable && socket.write(chunk));
  };
  socket.on('drain', more);
  more();
}

/** What a server does with a connection once the first bytes of a request are there. */
export const HOSTILE_SERVERS: Readonly<Record<string, (socket: Socket) => void>> = {
  'closes at once': (socket) => socket.end(),
  resets: (socket) => socket.resetAndDestroy(),
  'says nothing': () => undefined,
  'speaks HTTP/0.9': (socket) => socket.end('hello'),
  'speaks another protocol': (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
  'answers with noise': (socket) => socket.end(Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 37) % 256))),
  'closes within the status line': (socket) => socket.end('HTTP/1.1 20'),
  'closes within the headers': (socket) => socket.end(`${OK}content-le`),
  'resets within the body': (socket) => {
    socket.write(`${OK}content-length: 100000\r\n\r\n${'a'.repeat(500)}`);
    setTimeout(() => socket.resetAndDestroy(), 20);
  },
  'closes within the body': (socket) => socket.end(`${OK}content-length: 100000\r\n\r\n${'a'.repeat(70_000)}`),
  'sends more than it announced': (socket) => socket.end(`${OK}content-length: 3\r\n\r\n${'a'.repeat(300_000)}`),
  'sends a body with status 204': (socket) => socket.end(`HTTP/1.1 204 No Content\r\n\r\n${'a'.repeat(300_000)}`),
  'sends a body with status 304': (socket) => socket.end(`HTTP/1.1 304 Not Modified\r\n\r\n${'a'.repeat(300_000)}`),
  'has two lengths': (socket) => socket.end(`${OK}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd`),
  'has a negative length': (socket) => socket.end(`${OK}content-length: -1\r\n\r\nabcd`),
  'has a length beyond 2^64': (socket) => socket.end(`${OK}content-length: 99999999999999999999999\r\n\r\nabcd`),
  'has a length and chunks': (socket) =>
    socket.end(`${OK}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`),
  'closes within a chunk': (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\nffff\r\nabc`),
  'has a chunk without a size': (socket) => socket.end(`${OK}transfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n`),
  'has a chunk of 2^63 bytes': (socket) =>
    socket.end(`${OK}transfer-encoding: chunked\r\n\r\n7fffffffffffffff\r\nabc\r\n`),
  'has 10,000 trailers': (socket) =>
    socket.end(`${OK}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${'x-trailer: y\r\n'.repeat(10_000)}\r\n`),
  'has 10,000 headers': (socket) => socket.end(`${OK}${'x-header: y\r\n'.repeat(10_000)}content-length: 0\r\n\r\n`),
  'has a header of 1 MB': (socket) => socket.end(`${OK}x-long: ${'y'.repeat(1_000_000)}\r\n\r\n`),
  'has a header with NUL': (socket) => socket.end(`${OK}x-nul: a\0b\r\ncontent-length: 0\r\n\r\n`),
  'never ends its headers': (socket) => {
    socket.write(OK);
    pour(socket, 'x-more: y\r\n');
  },
  'never ends its interim answers': (socket) => pour(socket, 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'),
  'switches to another protocol': (socket) =>
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x05hello'),
  'answers 100 and no more': (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'),
  'never ends its body': (socket) => {
    socket.write(`${OK}\r\n`);
    pour(socket, Buffer.alloc(65_536, 97));
  },
  'sends a byte at a time': (socket) => {
    socket.write(`${OK}content-length: 100000\r\n\r\n`);
    const timer = setInterval(() => socket.write('a'), 50);
    socket.once('close', () => clearInterval(timer));
  },
  'sends 100 MB in 100 kB of gzip': (socket) => {
    const bomb = gzipSync(Buffer.alloc(100_000_000));
    socket.write(`${OK}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
    socket.end(bomb);
  },
  'answers twice': (socket) => socket.end(`${OK}content-length: 2\r\n\r\n{}${OK}content-length: 2\r\n\r\n{}`),
  'talks on after its answer': (socket) => {
    socket.write(`${OK}content-length: 2\r\n\r\n{}`);
    setTimeout(() => socket.write('and another thing'), 20);
  },
  'redirects to itself': (socket) => socket.end('HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n'),
  'redirects to what is no URL': (socket) =>
    socket.end('HTTP/1.1 302 Found\r\nlocation: http://[\r\ncontent-length: 0\r\n\r\n'),
  'redirects to a host with a NUL': (socket) =>
    socket.end('HTTP/1.1 302 Found\r\nlocation: //a%00b/\r\ncontent-length: 0\r\n\r\n'),
};

/** A server that behaves so at each connection. */
export async function startHostileServer(
  behave: (socket: Socket) => void,
): Promise<{ readonly url: string; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket
      .on('error', () => undefined)
      .once('close', () => sockets.delete(socket))
      .once('data', () => behave(socket));
    socket.resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

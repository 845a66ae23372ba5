import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Agent, request } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import type { VideoError } from '../../src/contract/video-error.js';
import { type AddressPolicy, createAddressPolicy, isLoopbackHost } from '../../src/net/address-policy.js';
import { guardedConnector, type Lookup } from '../../src/net/guarded-connector.js';
import { fetchGuarded, type GuardedFetchOptions } from '../../src/net/guarded-fetch.js';

const LOOPBACK = ['127.0.0.1'];

/** A server on a loopback address that counts its requests. */
async function serve(listener: RequestListener, host = '127.0.0.1', port = 0) {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.url}`);
    listener(request, response);
  });
  const connections: unknown[] = [];
  server.on('connection', (socket) => connections.push(socket.remotePort));
  await listen(server, host, port);
  const { port: bound } = server.address() as AddressInfo;
  return { url: `http://${host}:${bound}`, port: bound, seen, connections };
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host);
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
  });
}

async function read(url: string, options: Partial<GuardedFetchOptions> = {}): Promise<string> {
  const answer = await fetchGuarded(url, { allow: [], maxBytes: 1_000, timeoutMs: 10_000, ...options });
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function faultOf(promise: Promise<unknown>): Promise<VideoError> {
  return promise.then(
    (value) => expect.fail(`it resolved to ${JSON.stringify(value)}`),
    (error: VideoError) => error,
  );
}

/** A resolver that must not be asked: the URL alone is reason enough. */
const noLookup: Lookup = async (name) => expect.fail(`${name} was looked up`);

test.each([
  // no web address
  ['file:///etc/passwd', 'scheme'],
  ['ftp://example.com/a.png', 'scheme'],
  ['gopher://127.0.0.1:70/', 'scheme'],
  ['data:text/plain,hello', 'scheme'],
  ['javascript:alert(1)', 'scheme'],
  ['blob:https://example.com/1', 'scheme'],
  ['unix:///var/run/docker.sock', 'scheme'],
  ['not a url', 'not a URL'],
  ['http://', 'not a URL'],
  ['http://[::1', 'not a URL'],
  ['http://127.0.0.1.999.1/', 'not a URL'],
  // credentials
  ['http://user:secret@example.com/', 'user name'],
  ['http://example.com@127.0.0.1/', 'user name'],
  // loopback in every spelling
  ['http://127.0.0.1/', 'loopback'],
  ['http://127.255.0.9:8080/', 'loopback'],
  ['http://127.0.0.1./', 'loopback'],
  ['http://127.1/', 'loopback'],
  ['http://2130706433/', 'loopback'],
  ['http://0x7f000001/', 'loopback'],
  ['http://0x7f.0.0.1/', 'loopback'],
  ['http://0177.0.0.1/', 'loopback'],
  ['http://017700000001/', 'loopback'],
  ['http://①②⑦.0.0.1/', 'loopback'],
  ['http://１２７.0.0.1/', 'loopback'],
  ['http://127%2e0%2e0%2e1/', 'loopback'],
  ['http://[::1]/', 'loopback'],
  ['http://[0:0:0:0:0:0:0:1]/', 'loopback'],
  ['http://[::ffff:127.0.0.1]/', 'loopback'],
  ['http://[::ffff:7f00:1]/', 'loopback'],
  ['http://[64:ff9b::7f00:1]/', 'loopback'],
  ['http://localhost/', 'private network'],
  ['http://LOCALHOST./', 'private network'],
  ['http://a.localhost/', 'private network'],
  // machines inside
  ['http://10.0.0.1/', 'private'],
  ['http://172.16.0.1/', 'private'],
  ['http://172.31.255.255/', 'private'],
  ['http://192.168.1.1/', 'private'],
  ['http://3232235777/', 'private'],
  ['http://100.64.0.1/', 'carrier-grade'],
  ['http://[::ffff:10.0.0.1]/', 'private'],
  ['http://[fc00::1]/', 'private'],
  ['http://[fd12:3456::1]/', 'private'],
  ['http://[fec0::1]/', 'site-local'],
  ['http://router/', 'not a public host name'],
  ['http://printer.local/', 'private network'],
  ['http://db.corp.internal/', 'private network'],
  ['http://nas.home.arpa/', 'private network'],
  // where clouds keep their credentials
  ['http://169.254.169.254/latest/meta-data/', 'link-local'],
  ['http://2852039166/', 'link-local'],
  ['http://0xa9fea9fe/', 'link-local'],
  ['http://[::ffff:169.254.169.254]/', 'link-local'],
  ['http://[64:ff9b::a9fe:a9fe]/', 'link-local'],
  ['http://[fe80::1]/', 'link-local'],
  ['http://[fd00:ec2::254]/', 'private'],
  ['http://metadata.google.internal/', 'private network'],
  ['http://100.100.100.200/', 'carrier-grade'], // Alibaba Cloud's own
  // nowhere, everywhere, or special
  ['http://0.0.0.0/', 'unspecified'],
  ['http://0/', 'unspecified'],
  ['http://[::]/', 'unspecified'],
  ['http://224.0.0.1/', 'multicast'],
  ['http://[ff02::1]/', 'multicast'],
  ['http://255.255.255.255/', 'broadcast'],
  ['http://240.0.0.1/', 'not a public address'],
  ['http://192.0.2.1/', 'not a public address'],
  ['http://198.18.0.1/', 'not a public address'],
  ['http://[2001:db8::1]/', 'not a public address'],
  ['http://[::7f00:1]/', 'not a public address'], // IPv4-compatible
  ['http://[2002:7f00:1::]/', 'not a public address'], // 6to4 of 127.0.0.1
  ['http://[2001:0:7f00:1::]/', 'not a public address'], // Teredo
  ['http://[64:ff9b:1::a00:1]/', 'not a public address'], // translation of a network's own
  ['http://[::ffff:0:7f00:1]/', 'not a public address'], // RFC 6145
])('%s is refused without a look-up because of its %s', async (url, word) => {
  const error = await faultOf(read(url, { lookup: noLookup }));
  expect(error).toMatchObject({ type: FailureType.ReferenceRejected, retryable: false, billed: false });
  expect(error.message).toContain(word);
  expect(error.issues).toEqual([{ path: 'reference_image', message: expect.stringContaining(word) }]);
});

test.each(['8.8.8.8', '2606:4700::1111', '64:ff9b::808:808', '::ffff:8.8.8.8', '172.32.0.1', '100.128.0.1'])(
  'the address %s is public',
  (address) => {
    expect(createAddressPolicy([]).faultOfAddress(address, 'example.com')).toBeUndefined();
  },
);

test.each([
  { allow: ['10.0.0.0/8'], url: 'http://10.9.8.7/', open: true },
  { allow: ['10.0.0.0/8'], url: 'http://[::ffff:10.9.8.7]/', open: true },
  { allow: ['10.0.0.0/8'], url: 'http://11.0.0.1/', open: true },
  { allow: ['10.0.0.0/8'], url: 'http://192.168.0.1/', open: false },
  { allow: ['::ffff:10.0.0.0/104'], url: 'http://10.9.8.7/', open: true },
  { allow: ['fd00::/8'], url: 'http://[fd00::1]/', open: true },
  { allow: ['fd00::/8'], url: 'http://10.0.0.1/', open: false },
  { allow: ['127.0.0.1'], url: 'http://localhost/', open: true },
  { allow: ['127.0.0.1'], url: 'http://127.0.0.2/', open: false },
  { allow: ['Images.Corp.Internal'], url: 'http://images.corp.internal./', open: true },
  { allow: ['images.corp.internal'], url: 'http://evil.images.corp.internal/', open: false },
  { allow: ['10.0.0.0/99'], url: 'http://10.0.0.1/', open: false },
  { allow: ['10.0.0.1'], url: 'ftp://10.0.0.1/', open: false },
])('with $allow open, $url is open: $open', ({ allow, url, open }) => {
  expect(createAddressPolicy(allow).faultOfUrl(new URL(url)) === undefined).toBe(open);
});

test.each([
  ['localhost', true],
  ['a.localhost', true],
  ['127.9.9.9', true],
  ['[::1]', true],
  ['[::ffff:127.0.0.1]', true],
  ['localhost.example.com', false],
  ['127.example.com', false],
  ['10.0.0.1', false],
])('that %s names this machine is %s', (host, expected) => {
  expect(isLoopbackHost(host)).toBe(expected);
});

test('a fetch sends no credential, no cookie and no referrer, and asks for the plain bytes', async () => {
  const { url } = await serve(({ headers, rawHeaders }, response) => {
    expect(rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())).toEqual([
      'host',
      'connection',
      'accept',
      'accept-encoding',
      'user-agent',
    ]);
    response.end(headers['accept-encoding']);
  });
  expect(await read(url, { allow: LOOPBACK })).toBe('identity');
});

test('a name with one private address among its public ones is not connected to at all', async () => {
  const target = await serve((_, response) => void response.end('inside'));
  const lookup: Lookup = async () => [
    { address: '127.0.0.1', family: 4 },
    { address: '10.0.0.1', family: 4 },
  ];
  const error = await faultOf(read(`http://images.example.com:${target.port}/`, { allow: LOOPBACK, lookup }));
  expect(error).toMatchObject({ type: FailureType.ReferenceRejected, retryable: false });
  expect(error.message).toContain('10.0.0.1 is a private address');
  expect(target.seen).toEqual([]);
});

test('a DNS answer that changes after the check has no effect: the checked address is the one connected to', async () => {
  const good = await serve((_, response) => void response.end('outside'));
  const evil = await serve((_, response) => void response.end('inside'), '127.0.0.2', good.port);
  let asked = 0;
  const lookup: Lookup = async () => [{ address: asked++ === 0 ? '127.0.0.1' : '127.0.0.2', family: 4 }];
  expect(await read(`http://images.example.com:${good.port}/`, { allow: LOOPBACK, lookup })).toBe('outside');
  expect({ asked, evil: evil.seen }).toEqual({ asked: 1, evil: [] });
});

test('a redirect back to the same name is judged by its new DNS answer', async () => {
  const good = await serve((_, response) => void response.writeHead(302, { location: '/again' }).end());
  const evil = await serve((_, response) => void response.end('inside'), '127.0.0.2', good.port);
  let asked = 0;
  const lookup: Lookup = async () => [{ address: asked++ === 0 ? '127.0.0.1' : '127.0.0.2', family: 4 }];
  const error = await faultOf(read(`http://images.example.com:${good.port}/`, { allow: LOOPBACK, lookup }));
  expect(error.message).toContain('127.0.0.2 is a loopback address');
  expect({ asked, evil: evil.seen }).toEqual({ asked: 2, evil: [] });
});

test.each([
  ['http://169.254.169.254/latest/', 'link-local'],
  ['http://10.0.0.1/', 'private'],
  ['//127.0.0.2/', 'loopback'],
  ['http://[::1]/', 'loopback'],
  ['file:///etc/passwd', 'scheme'],
  ['http://user:secret@127.0.0.1/', 'user name'],
  ['http://[broken', 'not a URL'],
])('a redirect to %s is refused because of its %s', async (location, word) => {
  const { url } = await serve((_, response) => void response.writeHead(302, { location }).end());
  const error = await faultOf(read(url, { allow: LOOPBACK }));
  expect(error).toMatchObject({ type: FailureType.ReferenceRejected, retryable: false });
  expect(error.message).toContain(word);
  expect(error.message).not.toContain('secret');
});

test('five redirects are followed, relative ones too, and a sixth is not', async () => {
  const chain = (length: number) =>
    serve(({ url = '' }, response) => {
      const hop = Number(url.slice(1));
      if (hop === length) response.end('here');
      else response.writeHead(308, { location: `${hop + 1}` }).end();
    });
  expect(await read(`${(await chain(5)).url}/0`, { allow: LOOPBACK })).toBe('here');
  const six = await chain(6);
  expect(await faultOf(read(`${six.url}/0`, { allow: LOOPBACK }))).toMatchObject({
    type: FailureType.ReferenceUnreachable,
    retryable: false,
  });
  expect(six.seen).toHaveLength(6);
});

test.each([
  [404, false],
  [401, false],
  [403, false],
  [204, false],
  [304, false],
  [408, true],
  [429, true],
  [500, true],
  [503, true],
])('HTTP %i is a host that does not deliver, worth a retry: %s', async (status, retryable) => {
  const { url } = await serve((_, response) => void response.writeHead(status).end());
  const error = await faultOf(read(`${url}/a.png?Signature=secret`, { allow: LOOPBACK }));
  expect(error).toMatchObject({ type: FailureType.ReferenceUnreachable, retryable, billed: false });
  expect(error.message).toContain(`HTTP ${status}`);
  expect(error.message).not.toContain('secret');
});

test('a body that never ends is cut at the limit', async () => {
  let closed: Promise<unknown> | undefined;
  const { url } = await serve((_, response) => {
    closed = once(response, 'close');
    const more = (): void => void response.write(Buffer.alloc(64 * 1024), (error) => error ?? setImmediate(more));
    more();
  });
  const error = await faultOf(read(url, { allow: LOOPBACK, maxBytes: 300_000 }));
  expect(error).toMatchObject({ type: FailureType.ReferenceRejected, retryable: false });
  expect(error.message).toContain('larger than 300000 bytes');
  await closed; // the connection does not outlive the refusal
});

test('a body that says it is too large is refused before a byte of it is read', async () => {
  const { url } = await serve(
    (_, response) => void response.writeHead(200, { 'content-length': 1_001 }).flushHeaders(),
  );
  const error = await faultOf(fetchGuarded(url, { allow: LOOPBACK, maxBytes: 1_000, timeoutMs: 10_000 }));
  expect(error).toMatchObject({ type: FailureType.ReferenceRejected });
});

test('a body of exactly the limit is taken', async () => {
  const { url } = await serve((_, response) => void response.end('x'.repeat(1_000)));
  expect(await read(url, { allow: LOOPBACK, maxBytes: 1_000 })).toHaveLength(1_000);
});

test('a body shorter than its content-length is a fault worth a retry, not a short image', async () => {
  const { url } = await serve((_, response) => {
    response.writeHead(200, { 'content-length': 500 });
    response.write('x'.repeat(100), () => response.socket?.end());
  });
  expect(await faultOf(read(url, { allow: LOOPBACK }))).toMatchObject({
    type: FailureType.ReferenceUnreachable,
    retryable: true,
  });
});

test.each([
  ['before the headers', false],
  ['in the body', true],
])('a host that goes silent %s is given up at the time limit', async (_, withHeaders) => {
  const { url } = await serve((_request, response) => {
    if (withHeaders) response.write('x');
  });
  const error = await faultOf(read(`${url}/?Signature=secret`, { allow: LOOPBACK, timeoutMs: 150 }));
  expect(error).toMatchObject({ type: FailureType.ReferenceUnreachable, retryable: true });
  expect(error.message).toContain('within 150 ms');
  expect(error.message).not.toContain('secret');
});

test('a body that drips is bound by the whole time, not by each chunk', async () => {
  const { url } = await serve((_, response) => {
    const drip = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(drip));
  });
  expect(await faultOf(read(url, { allow: LOOPBACK, timeoutMs: 200 }))).toMatchObject({
    type: FailureType.ReferenceUnreachable,
  });
});

test.each([
  ['before the headers', () => undefined],
  ['in the body, a byte at a time', (response: ServerResponse) => drip(response, 1)],
])('a host that is too slow %s is given up long before the time limit', async (_, behave) => {
  const { url } = await serve((_request, response) => behave(response));
  const error = await faultOf(read(url, { allow: LOOPBACK, timeoutMs: 60_000, slowMs: 300 }));
  expect(error).toMatchObject({ type: FailureType.ReferenceUnreachable, retryable: true });
  expect(error.message).toContain('sends less than 16384 bytes in 0.3 s');
});

test('a host that sends enough is read to its end, however long that and the reader take', async () => {
  const { url } = await serve((_, response) => {
    let left = 6;
    const timer = setInterval(() => {
      response.write('x'.repeat(16 * 1024));
      left -= 1;
      if (left === 0) response.end();
    }, 150);
    response.on('close', () => clearInterval(timer));
  });
  const { body } = await fetchGuarded(url, { allow: LOOPBACK, maxBytes: 1_000_000, timeoutMs: 60_000, slowMs: 400 });
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes < 20_000) await new Promise((resolve) => setTimeout(resolve, 500));
  }
  expect(bytes).toBe(6 * 16 * 1024);
});

function drip(response: ServerResponse, bytes: number): void {
  const timer = setInterval(() => response.write('x'.repeat(bytes)), 20);
  response.on('close', () => clearInterval(timer));
}

test('a compressed answer is refused: its size would say nothing', async () => {
  const { url } = await serve((_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'));
  expect(await faultOf(read(url, { allow: LOOPBACK }))).toMatchObject({ type: FailureType.ReferenceRejected });
});

test.each(['refused', 'unknown name', 'not HTTP'])('a network fault (%s) is worth a retry', async (kind) => {
  const { url, port } = await serve((request) => void request.socket.end('SSH-2.0-x\r\n'));
  const lookup: Lookup = async (name) => {
    throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
  };
  const target = { refused: 'http://127.0.0.1:1/', 'unknown name': `http://nowhere.example:${port}/`, 'not HTTP': url }[
    kind
  ];
  expect(await faultOf(read(target as string, { allow: LOOPBACK, lookup }))).toMatchObject({
    type: FailureType.ReferenceUnreachable,
    retryable: true,
  });
});

test.each(['before', 'while waiting', 'in the body'])(
  'an abort %s ends the fetch with its own reason',
  async (moment) => {
    const controller = new AbortController();
    const reason = new Error('cancelled by the caller');
    if (moment === 'before') controller.abort(reason);
    const { url } = await serve((_, response) => {
      if (moment === 'in the body') response.write('x');
      else controller.abort(reason);
    });
    const fetched = (async () => {
      const options = { allow: LOOPBACK, maxBytes: 10, timeoutMs: 10_000, signal: controller.signal };
      for await (const _ of (await fetchGuarded(url, options)).body) controller.abort(reason);
    })();
    await expect(fetched).rejects.toBe(reason);
  },
);

test('behind a proxy names are resolved there, and what is named private is still refused here', async () => {
  const target = await serve((_, response) => void response.end('through the proxy'));
  const asked: string[] = [];
  const proxy = createServer();
  proxy.on('connect', ({ url }, socket) => {
    asked.push(`${url}`);
    const upstream = connect(target.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [upstream, socket]) end.on('error', () => {});
  });
  await listen(proxy, '127.0.0.1', 0);
  const proxies = { http: new URL(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`), except: [] };

  expect(await read('http://images.example.com/a.png', { lookup: noLookup, proxies })).toBe('through the proxy');
  for (const url of ['http://10.0.0.1/', 'http://[::ffff:a00:1]/', 'http://db.internal/', 'http://127.0.0.1/'])
    expect(await faultOf(read(url, { lookup: noLookup, proxies }))).toMatchObject({
      type: FailureType.ReferenceRejected,
    });
  // Loopback never goes through a proxy, also where it is allowed.
  expect(await read(target.url, { allow: LOOPBACK, proxies })).toBe('through the proxy');
  expect(asked).toEqual(['images.example.com:80']);
});

test.each([
  ['refuses a literal address, for which no look-up happens', 0, () => createAddressPolicy([])],
  [
    'judges the address that the socket reports once more, before a request is sent',
    1,
    (): AddressPolicy => {
      const answers = [undefined, 'the peer is another one'];
      return { faultOfUrl: () => undefined, faultOfAddress: () => answers.shift() };
    },
  ],
])('the connector %s', async (_, connections, policy) => {
  const target = await serve((_request, response) => void response.end('inside'));
  const dispatcher = new Agent({ connect: guardedConnector(policy(), noLookup) });
  onTestFinished(() => dispatcher.close());
  await expect(request(target.url, { dispatcher })).rejects.toThrow(/another one|loopback/);
  expect(target.seen).toEqual([]);
  expect(target.connections).toHaveLength(connections);
});

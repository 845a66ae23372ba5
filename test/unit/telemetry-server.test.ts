import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { WorkerHealth } from '../../src/worker/health.js';
import { startTelemetryServer, type TelemetryServer } from '../../src/worker/telemetry-server.js';

let port: number;
let server: TelemetryServer;
beforeAll(async () => {
  port = await freePort();
  const sources = { metrics: async () => 'ours 1\n', temporalMetrics: undefined, health: new WorkerHealth() };
  server = await startTelemetryServer({ host: '127.0.0.1', port }, sources);
});
afterAll(() => server?.close());

/** Sends bytes as they are and reads until the server closes the connection. */
async function exchange(request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1');
  let answer = '';
  socket.on('data', (text) => {
    answer += text;
  });
  // The server may close while the rest of a request is still on its way.
  socket.on('error', () => undefined);
  // A server that does not answer at all fails the test at once.
  socket.setTimeout(8_000, () => socket.destroy());
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(request, 'latin1');
  await closed;
  return answer;
}

/** The status of one request with that method and request target; 0 when the connection is closed without an answer. */
async function statusOf(target: string, method = 'GET', headers = ''): Promise<number> {
  const answer = await exchange(`${method} ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`);
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0);
}

const TARGETS: readonly [target: string, status: number, name?: string][] = [
  ['/metrics', 200],
  ['/metrics?name=x', 200],
  ['/healthz', 200],
  ['/readyz', 503],
  ['http://127.0.0.1/metrics', 200], // as a proxy sends it: RFC 9112, section 3.2.2
  ['http://elsewhere.example:1/healthz?x', 200],
  ['http://127.0.0.1', 404],
  ['http://127.0.0.1/other', 404],
  ['/', 404],
  ['//', 404],
  ['///', 404],
  ['//metrics', 404],
  ['//[', 404],
  ['//:1', 404],
  ['//user@', 404],
  ['/%', 404],
  ['/%00', 404],
  ['/metrics/', 404],
  ['/METRICS', 404],
  ['/../metrics', 404],
  ['/./metrics', 404],
  ['/\\', 404],
  ['*', 404],
  ['http://', 404],
  ['http://[', 404],
  ['http://[::1', 404],
  ['http:///', 404],
  ['http://%', 404],
  ['file:///metrics', 404],
  // Node's parser refuses what HTTP's grammar does not have.
  ['\\\\', 400],
  ['?', 400],
  ['#', 400],
  ['javascript:/metrics', 400],
  ['x', 400],
  ['metrics', 400],
  ['127.0.0.1:80', 400],
  [`/${'a'.repeat(10_000)}`, 404, 'a path of 10 kB'],
  [`/${'a'.repeat(100_000)}`, 431, 'a path of 100 kB'],
];

test.each(TARGETS.map(([target, status, name = target]) => ({ target, status, name })))(
  'GET $name is answered',
  async ({ target, status }) => {
    expect(await statusOf(target)).toBe(status);
  },
);

test.each([
  ['POST', '/metrics', 405],
  ['PUT', '/', 405],
  ['DELETE', '//', 405],
  ['OPTIONS', '*', 405],
  ['TRACE', '//', 405],
  ['PROPFIND', '/metrics', 405],
  ['HEAD', '/metrics', 200],
  ['HEAD', '//', 404],
  ['CONNECT', 'elsewhere.example:443', 405],
  ['CONNECT', '//', 405],
  ['NONSENSE', '/', 400],
  ['get', '/', 400],
])('%s %s is answered with %d', async (method, target, status) => {
  expect(await statusOf(target, method)).toBe(status);
});

test.each([
  ['a header of 100 kB', `x: ${'a'.repeat(100_000)}\r\n`, 431],
  ['10,000 headers', 'x: y\r\n'.repeat(10_000), 431],
  ['two lengths', 'content-length: 1\r\ncontent-length: 2\r\n', 400],
  ['a length that is none', 'content-length: x\r\n', 400],
  ['a length and chunks', 'content-length: 1\r\ntransfer-encoding: chunked\r\n', 400],
  ['a body that never comes', 'content-length: 10\r\n', 200],
  ['an upgrade', 'connection: upgrade\r\nupgrade: websocket\r\n', 200],
  ['an expectation that nobody has', 'expect: the-unexpected\r\n', 417],
  ['an expectation to go on', 'expect: 100-continue\r\ncontent-length: 5\r\n', 100],
  ['a header that is none', 'no colon\r\n', 400],
])('a request with %s is answered', async (_what, headers, status) => {
  expect(await statusOf('/metrics', 'GET', headers)).toBe(status);
});

test.each(['', '\r\n', 'GET', 'GET / HTTP/1.1\r\n', '\0', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 'GET /\r\n\r\n'])(
  'what is no HTTP request is no harm: %j',
  async (text) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(text, 'latin1');
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.resetAndDestroy();
    expect(await statusOf('/healthz')).toBe(200);
  },
);

test('each request target gets an answer, and a page only for the three pages', async () => {
  const pieces = [
    '/',
    '//',
    '\\',
    '%',
    '%2f',
    '%zz',
    '?',
    '#',
    '@',
    ':',
    '[',
    ']',
    '*',
    '.',
    '..',
    'metrics',
    'healthz',
  ];
  const more = [
    'http:',
    'http://',
    'ws://',
    'x',
    '\x80',
    '\xff',
    '\t',
    '0',
    '127.0.0.1',
    '::1',
    ';',
    '{',
    '|',
    '"',
    '<',
  ];
  const target = fc.oneof(
    fc.array(fc.constantFrom(...pieces, ...more), { minLength: 1, maxLength: 8 }).map((parts) => parts.join('')),
    fc.string({ minLength: 1, maxLength: 40 }).map((text) => text.replace(/[\s\u0100-\uffff]/g, '_')),
    fc.webUrl({ withFragments: true, withQueryParameters: true }),
  );
  await fc.assert(
    fc.asyncProperty(target, fc.constantFrom('GET', 'GET', 'HEAD', 'POST', 'CONNECT'), async (text, method) => {
      const status = await statusOf(text, method);
      const isPage = /^(https?:\/\/[^/]*)?\/(metrics|healthz)(\?|$)/.test(text) && ['GET', 'HEAD'].includes(method);
      expect([400, 404, 405, ...(isPage ? [200] : [])]).toContain(status);
    }),
    { numRuns: 1_000 },
  );
  expect(await statusOf('/healthz')).toBe(200);
});

test('a thousand requests in one packet are answered in turn, those that nobody reads included', async () => {
  const targets = ['/healthz', '//', 'http://x/metrics', '/readyz', '/other'];
  const requests = Array.from({ length: 1_000 }, (_, n) => `GET ${targets[n % 5]} HTTP/1.1\r\nhost: x\r\n\r\n`);
  const unread = connect(port, '127.0.0.1').on('error', () => undefined);
  await once(unread, 'connect');
  unread.pause().write(requests.join(''));
  const last = 'GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
  const answer = await exchange(requests.join('') + last);
  const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  expect(statuses).toEqual([...requests.map((_, n) => [200, 404, 200, 503, 404][n % 5]), 200]);
  unread.destroy();
});

test('a connection on which nothing comes is closed within the bounds, and more than a hundred at once are refused', async () => {
  const idle = await Promise.all(
    Array.from({ length: 150 }, async () => {
      const socket = connect(port, '127.0.0.1')
        .on('error', () => undefined)
        .resume();
      onTestFinished(() => void socket.destroy());
      await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
      socket.write('GET /metrics HTTP/1.1\r\n');
      return socket;
    }),
  );
  await expect.poll(() => idle.filter(({ closed }) => closed).length).toBeGreaterThanOrEqual(50);
  await expect.poll(() => idle.filter(({ closed }) => !closed).length, { timeout: 20_000 }).toBe(0);
  expect(await statusOf('/healthz')).toBe(200);
});

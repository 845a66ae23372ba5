import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import { type DownloadOptions, downloadToFile, RESUMES_MAX } from '../../src/net/download.js';
import { judgeResultUrl } from '../../src/net/open-result.js';

/** A video of sorts: long enough for more cuts than are followed without progress. */
const VIDEO = Buffer.from(Array.from({ length: 2_500_000 }, (_, i) => (i * 7919 + (i >> 8)) & 255));
const OTHER = Buffer.from(VIDEO).reverse();
const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

interface Reply {
  /** The file as the server sees it now. */
  readonly video?: Buffer;
  readonly etag?: string;
  /** Bytes of the body after which the connection is cut. */
  readonly cutAfter?: number;
  /** Bytes of the body after which nothing comes any more. */
  readonly stallAfter?: number;
  /** Bytes of the body after which each further one takes 20 ms. */
  readonly dripAfter?: number;
  readonly ignoreRange?: boolean;
  readonly status?: number;
  readonly withoutLength?: boolean;
  /** Replaces the first number of Content-Range. */
  readonly shiftedBy?: number;
}

/** A server that answers its n-th request by the n-th reply, the last one for ever; notes the range of each. */
async function serve(...replies: Reply[]) {
  const ranges: Array<string | undefined> = [];
  const server = createServer((message: IncomingMessage, response: ServerResponse) => {
    const reply = replies[Math.min(ranges.length, replies.length - 1)] ?? {};
    ranges.push(message.headers.range);
    answer(reply, message, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const folder = await mkdtemp(join(tmpdir(), 'download-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'spool', 'result.mp4');
  const open: DownloadOptions['open'] = async (from) => {
    const { statusCode, headers, body } = await request(`http://127.0.0.1:${port}/result.mp4`, {
      headers: from > 0 ? { range: `bytes=${from}-` } : {},
    });
    return { status: statusCode, headers, body };
  };
  const download = (options: Partial<DownloadOptions> = {}) =>
    downloadToFile({ open, file, maxBytes: 10_000_000, slowMs: 5_000, resumeDelayMs: 1, ...options });
  return { download, open, file, ranges };
}

function answer(reply: Reply, message: IncomingMessage, response: ServerResponse): void {
  const { video = VIDEO, etag = '"one"', shiftedBy = 0 } = reply;
  if (reply.status !== undefined) return void response.writeHead(reply.status).end('<Error/>');
  const asked = /^bytes=(\d+)-$/.exec(message.headers.range ?? '')?.[1];
  const from = asked === undefined || reply.ignoreRange === true ? 0 : Number(asked);
  if (from >= video.length && from > 0) return void response.writeHead(416).end();
  const body = video.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    etag,
    ...(reply.withoutLength !== true && { 'content-length': body.length }),
    ...(from > 0 && { 'content-range': `bytes ${from + shiftedBy}-${video.length - 1}/${video.length}` }),
  });
  if (reply.cutAfter !== undefined) {
    response.write(body.subarray(0, reply.cutAfter), () => response.socket?.destroySoon());
  } else if (reply.dripAfter !== undefined) {
    let at = reply.dripAfter;
    response.write(body.subarray(0, at));
    const timer = setInterval(() => response.write(body.subarray(at, ++at)), 20);
    response.on('close', () => clearInterval(timer));
  } else if (reply.stallAfter !== undefined) response.write(body.subarray(0, reply.stallAfter));
  else response.end(body);
}

const whole = { bytes: VIDEO.length, sha256: sha256Of(VIDEO) };

test.each<[string, Reply[], number[]]>([
  ['at once', [{}], [0]],
  ['at once from a server that sends no length', [{ withoutLength: true }], [0]],
  ['over one cut', [{ cutAfter: 300_000 }, {}], [0, 300_000]],
  ['over a cut before the first byte', [{ cutAfter: 0 }, {}], [0, 0]],
  [
    'over many cuts, as long as it makes progress',
    [...Array<Reply>(6).fill({ cutAfter: 400_000 }), {}],
    [0, 400_000, 800_000, 1_200_000, 1_600_000, 2_000_000, 2_400_000],
  ],
  ['over a stall', [{ stallAfter: 400_000 }, {}], [0, 400_000]],
  ['from a server that ignores ranges', [{ cutAfter: 300_000 }, { ignoreRange: true }], [0, 300_000]],
  ['over a busy server', [{ status: 503 }, { cutAfter: 300_000 }, { status: 500 }, {}], [0, 0, 300_000, 300_000]],
  ['over a range that does not join', [{ cutAfter: 300_000 }, { shiftedBy: 1 }, {}], [0, 300_000, 0]],
])('a result is downloaded whole %s', async (_, replies, expected) => {
  const { download, file, ranges } = await serve(...replies);
  // A stall is waited for; a busy machine needs more than that for the others.
  const isStalled = replies.some(({ stallAfter }) => stallAfter !== undefined);
  expect(await download(isStalled ? { slowMs: 500 } : {})).toEqual(whole);
  expect(sha256Of(await readFile(file))).toBe(whole.sha256);
  const from = ranges.map((range) => Number(/\d+/.exec(range ?? '0')?.[0]));
  // A cut loses what the socket had not handed over yet, up to 64 KiB each time.
  const lost = expected.map((bytes, i) => bytes - (from[i] ?? 0));
  expect(from).toHaveLength(expected.length);
  for (const [i, bytes] of lost.entries())
    expect(bytes >= 0 && bytes <= i * 65_536, `request ${i}: ${from}`).toBe(true);
});

test.each<[string, Reply]>([
  ['ETag', { video: OTHER, etag: '"two"' }],
  ['length', { video: OTHER.subarray(0, 2_400_000) }],
  ['end, which is before what was loaded', { video: OTHER.subarray(0, 200_000) }],
])('a file that is another one after a cut, by its %s, is started again and never mixed', async (_, changed) => {
  const { download, file } = await serve({ cutAfter: 300_000 }, changed);
  const now = changed.video ?? OTHER;
  expect(await download()).toEqual({ bytes: now.length, sha256: sha256Of(now) });
  expect((await readFile(file)).equals(now)).toBe(true);
});

test.each<[string, Reply[], number, FailureType?]>([
  ['is cut before each byte', [{ cutAfter: 0 }], RESUMES_MAX + 1],
  ['gives a few bytes per connection', [{ cutAfter: 1_000 }], RESUMES_MAX + 1],
  ['is cut at the same place of the whole', [{ cutAfter: 400_000, ignoreRange: true }], RESUMES_MAX + 2],
  ['is busy', [{ status: 503 }], RESUMES_MAX + 1],
  ['answers by an odd status', [{ status: 451 }], 1, FailureType.ResultUnreachable],
])(
  'a download that %s ends as a fault worth a retry, after a bounded number of requests',
  async (_, replies, requests, type = FailureType.ProviderUnavailable) => {
    const { download, ranges } = await serve(...replies);
    await expect(download()).rejects.toMatchObject({ type, retryable: true });
    expect(ranges).toHaveLength(requests);
  },
);

test.each<[string, Reply[], number]>([
  ['goes silent', [{ stallAfter: 10 }], 1],
  ['sends a byte at a time', [{ dripAfter: 0 }], 1],
  ['sends a byte at a time after a good beginning', [{ dripAfter: 600_000 }, { dripAfter: 0 }], 2],
  ['sends a byte at a time after a cut', [{ cutAfter: 10 }, { dripAfter: 0 }], 2],
])('a host that %s is given up, however long its file would take', async (_, replies, requests) => {
  const { download, ranges } = await serve(...replies);
  await expect(download({ slowMs: 300 })).rejects.toMatchObject({
    type: FailureType.ProviderUnavailable,
    retryable: true,
    message: expect.stringContaining('less than 16384 bytes came in 0.3 s'),
  });
  expect(ranges).toHaveLength(requests);
});

test('a connection that becomes too slow is replaced, as long as the file makes progress', async () => {
  const { download, ranges } = await serve({ dripAfter: 400_000 }, { dripAfter: 800_000 }, {});
  expect(await download({ slowMs: 200 })).toEqual(whole);
  expect(ranges).toHaveLength(3);
});

test.each([403, 404, 410])(
  'HTTP %i says that the link is over, also after a cut, and is not asked again',
  async (status) => {
    for (const replies of [[{ status }], [{ cutAfter: 300_000 }, { status }]]) {
      const { download, ranges } = await serve(...replies);
      await expect(download()).rejects.toMatchObject({
        type: FailureType.ResultExpired,
        retryable: false,
        billed: true,
      });
      expect(ranges).toHaveLength(replies.length);
    }
  },
);

test.each<[string, Reply, number]>([
  ['that it sends', {}, 0],
  ['that it does not send', { withoutLength: true }, 2_499_999],
])('a result above the limit by a length %s is refused', async (_, reply, most) => {
  const { download, file, ranges } = await serve(reply);
  await expect(download({ maxBytes: VIDEO.length - 1 })).rejects.toMatchObject({ type: FailureType.ResultRejected });
  expect((await stat(file)).size).toBeLessThanOrEqual(most);
  expect(ranges).toHaveLength(1);
});

test('a fault of the opener ends the download unless it can pass', async () => {
  const { download, open } = await serve({});
  const lasting = new VideoError(FailureType.ResultExpired, 'over');
  await expect(download({ open: () => Promise.reject(lasting) })).rejects.toBe(lasting);

  let opened = 0;
  const passing = new VideoError(FailureType.ProviderUnavailable, 'no route', { retryable: true });
  const once = async (from: number) => (opened++ === 0 ? Promise.reject(passing) : open(from));
  expect(await download({ open: once })).toEqual(whole);
  await expect(download({ open: () => Promise.reject(passing) })).rejects.toBe(passing);
});

test.each(['before', 'in the body', 'in the pause'])(
  'an abort %s ends the download with its own reason',
  async (moment) => {
    const controller = new AbortController();
    const reason = new Error('shutdown');
    const { download, open, ranges } = await serve(moment === 'in the pause' ? { cutAfter: 10 } : { stallAfter: 10 });
    if (moment === 'before') controller.abort(reason);
    const opening: DownloadOptions['open'] = async (from) => {
      const answer = await open(from);
      setImmediate(() => controller.abort(reason));
      return answer;
    };
    const options = { signal: controller.signal, slowMs: 60_000, resumeDelayMs: 60_000 };
    await expect(download({ ...options, open: opening })).rejects.toBe(reason);
    expect(ranges.length).toBe(moment === 'before' ? 0 : 1);
  },
);

test('a disk that takes no file is a fault of the disk', async () => {
  const { download, ranges } = await serve({});
  await expect(download({ file: '/dev/null/result.mp4' })).rejects.toMatchObject({
    type: FailureType.StoreUnavailable,
    retryable: true,
  });
  expect(ranges).toHaveLength(0);
});

test('a download of 100 MB needs little memory', async () => {
  const big = Buffer.alloc(100 * 1024 * 1024, 7);
  const { download } = await serve({ video: big, cutAfter: 60_000_000 }, { video: big });
  const before = process.memoryUsage().rss;
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss - before)), 5);
  onTestFinished(() => clearInterval(watch));
  expect((await download({ maxBytes: big.length })).bytes).toBe(big.length);
  // The server in this very process holds the file, and its socket what was not read yet.
  expect(most).toBeLessThan(64 * 1024 * 1024);
});

const BEIJING = 'https://dashscope.aliyuncs.com/api/v1';
test.each([
  ['https://dashscope-result.oss-cn-beijing.aliyuncs.com/a.mp4?Signature=secret', BEIJING, [], undefined],
  ['http://dashscope-result.oss-cn-beijing.aliyuncs.com/a.mp4?Signature=secret', BEIJING, [], undefined],
  ['https://127.0.0.1/a.mp4?Signature=secret', BEIJING, [], 'loopback'],
  ['https://169.254.169.254/a.mp4', BEIJING, [], 'link-local'],
  ['https://10.0.0.1/a.mp4', BEIJING, [], 'private'],
  ['https://10.0.0.1/a.mp4', BEIJING, ['10.0.0.0/8'], undefined],
  ['https://user:secret@example.com/a.mp4', BEIJING, [], 'user name'],
  ['file:///etc/passwd', BEIJING, [], 'not http or https'],
  ['nonsense', BEIJING, [], 'not a URL'],
  ['http://127.0.0.1:8080/a.mp4?Signature=secret', 'http://127.0.0.1:8080/api/v1', [], undefined],
  ['http://localhost:8080/a.mp4', 'http://[::1]:8080/api/v1', [], undefined],
  ['file:///etc/passwd', 'http://127.0.0.1:8080/api/v1', [], 'not http or https'],
])('the result link %s of %s, with %j allowed: %s', (link, baseUrl, allow, fault) => {
  const check = () => judgeResultUrl(link, { baseUrl, allow });
  if (fault === undefined) return expect(check).not.toThrow();
  expect(check).toThrow(
    expect.objectContaining({ type: FailureType.ResultUnreachable, message: expect.stringContaining(fault) }),
  );
  expect(check).not.toThrow(/secret/);
});

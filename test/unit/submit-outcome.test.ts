import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Agent, type Dispatcher } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import { FailureType as F } from '../../src/contract/failure-type.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { decideSubmitOutcome, nextSubmitDelay } from '../../src/dashscope/submit-outcome.js';
import { createDispatcher } from '../../src/net/dispatcher.js';

const body = { model: 'm', input: { prompt: 'p', img_url: 'oss://a' }, parameters: {} };

function clientOf(baseUrl: string, dispatcher?: Dispatcher): DashScopeClient {
  const client = new DashScopeClient({
    baseUrl,
    apiKey: () => 'sk-test-0123456789',
    dispatcher,
    timeouts: { submitMs: 1_500 },
  });
  onTestFinished(async () => {
    await client.close();
    await dispatcher?.destroy();
  });
  return client;
}

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A server on bare sockets; `onRequest` is called once the whole request is there. */
function rawServer(onRequest: (socket: Socket) => void): Promise<number> {
  return listen(
    createServer((socket) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
        if (text.includes('"parameters":{}}')) onRequest(socket);
      });
    }),
  );
}

const throughProxy = (port: number): Dispatcher => {
  const proxy = new URL(`http://127.0.0.1:${port}`);
  return createDispatcher({ http: proxy, https: proxy, except: [] });
};

/** A client behind a proxy that does `onConnect` with every connection that asks for a tunnel. */
async function behindProxy(scheme: string, onConnect: (socket: Socket) => void): Promise<DashScopeClient> {
  const proxy = createHttpServer((_, response) => void response.end('forwarded without a tunnel'));
  proxy.on('connect', (_, socket) => onConnect(socket as Socket));
  return clientOf(`${scheme}://provider.invalid/api/v1`, throughProxy(await listen(proxy)));
}

test.each<[string, string, (socket: Socket) => void]>([
  ['ECONNRESET', 'is reset before the answer', (socket) => socket.resetAndDestroy()],
  ['UND_ERR_SOCKET', 'is closed before the answer', (socket) => socket.end()],
  [
    'ECONNRESET',
    'is reset within the answer',
    (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{');
      setTimeout(() => socket.resetAndDestroy(), 50);
    },
  ],
  [
    'UND_ERR_SOCKET',
    'is closed within the answer',
    (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{'),
  ],
  [
    'UND_ERR_SOCKET',
    'is closed within a chunked answer',
    (socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{'),
  ],
  ['UND_ERR_HEADERS_TIMEOUT', 'stays silent', () => {}],
  [
    'UND_ERR_BODY_TIMEOUT',
    'stalls within the answer',
    (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{'),
  ],
  ['does not match the HTTP', 'does not speak HTTP', (socket) => socket.end('SSH-2.0-x\r\n\r\n')],
])('%s: a connection that %s after the request leaves an unknown outcome', async (code, _what, fault) => {
  const port = await rawServer(fault);
  const agent = new Agent({ headersTimeout: 400, bodyTimeout: 400 });
  const outcome = await clientOf(`http://127.0.0.1:${port}/api/v1`, agent).createTask(body);
  expect(outcome).toMatchObject({ kind: 'unknown', error: { type: F.SubmitOutcomeUnknown, retryable: false } });
  expect(outcome.kind === 'unknown' && outcome.error.message).toContain(code);
});

test.each<[string, string, () => Promise<DashScopeClient>]>([
  ['ECONNREFUSED', 'finds no server', async () => clientOf('http://127.0.0.1:1/api/v1')],
  ['ENOTFOUND', 'finds no name', async () => clientOf('http://nowhere.invalid/api/v1', new Agent())],
  [
    'UND_ERR_CONNECT_TIMEOUT',
    'cannot finish its TLS handshake',
    async () => {
      const port = await listen(createServer(() => {}));
      return clientOf(`https://127.0.0.1:${port}/api/v1`, new Agent({ connect: { timeout: 300 } }));
    },
  ],
  [
    'ERR_SSL_WRONG_VERSION_NUMBER',
    'meets a server without TLS',
    async () => {
      const port = await listen(createHttpServer((_, res) => void res.end()));
      return clientOf(`https://127.0.0.1:${port}/api/v1`, new Agent());
    },
  ],
  ...['http', 'https'].flatMap((scheme): [string, string, () => Promise<DashScopeClient>][] => [
    [
      'Proxy response (403)',
      `is refused by the proxy (${scheme})`,
      () => behindProxy(scheme, (socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')),
    ],
    [
      'Proxy response (407)',
      `has no user of the proxy (${scheme})`,
      () => behindProxy(scheme, (socket) => socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')),
    ],
    [
      'UND_ERR_PRX_CONN',
      `meets a proxy that closes the connection (${scheme})`,
      () => behindProxy(scheme, (socket) => socket.end()),
    ],
    [
      'ECONNRESET',
      `meets a proxy that resets (${scheme})`,
      () => behindProxy(scheme, (socket) => socket.resetAndDestroy()),
    ],
    [
      'ECONNREFUSED',
      `finds no proxy (${scheme})`,
      async () => clientOf(`${scheme}://provider.invalid/api/v1`, throughProxy(1)),
    ],
  ]),
  [
    'ECONNRESET',
    'is reset while it connects',
    async () => {
      const port = await listen(createServer((socket) => socket.resetAndDestroy()));
      return clientOf(`https://127.0.0.1:${port}/api/v1`, new Agent());
    },
  ],
])('%s: a submit that %s was not sent', async (code, _what, setUp) => {
  const outcome = await (await setUp()).createTask(body);
  expect(outcome).toMatchObject({
    kind: 'not_sent',
    error: { type: F.ProviderUnavailable, retryable: true, billed: false },
  });
  expect(outcome.kind === 'not_sent' && outcome.error.message).toContain(code);
});

test('a submit whose time is over when the connection is open sends not one byte of its body', async () => {
  let bytes = 0;
  const port = await listen(createServer((socket) => socket.on('data', (chunk) => (bytes += chunk.length))));
  const asked: string[] = [];
  const outcome = await clientOf(`http://127.0.0.1:${port}/api/v1`).createTask(body, {
    mayStillSend: () => {
      asked.push('once');
      return false;
    },
  });
  expect(outcome).toMatchObject({ kind: 'not_sent', error: { retryable: true } });
  expect({ asked, bytes }).toEqual({ asked: ['once'], bytes: 0 });
});

const coded = (status: number, code: string, message = '') => ({ status, json: { code, message, request_id: 'r' } });

test.each<[number, string, string, 'rejected' | 'not_sent' | 'unknown', F]>([
  [400, 'InvalidParameter', '', 'rejected', F.InvalidRequest],
  [400, 'InvalidParameter.DataInspection', '', 'rejected', F.InvalidRequest],
  [400, 'BadRequest.EmptyInput', '', 'rejected', F.InvalidRequest],
  [400, 'BadRequest.EmptyModel', '', 'rejected', F.InvalidRequest],
  [400, 'BadRequest.EmptyParameters', '', 'rejected', F.InvalidRequest],
  [400, 'BadRequest.IllegalInput', '', 'rejected', F.InvalidRequest],
  [400, 'BadRequest.TooLarge', '', 'rejected', F.InvalidRequest],
  [400, 'BadRequest.UnsupportedFileFormat', '', 'rejected', F.InvalidRequest],
  [400, 'BadRequest.InputDownloadFailed', '', 'rejected', F.ReferenceUnreachable],
  [400, 'InvalidURL', '', 'rejected', F.InvalidRequest],
  [400, 'InvalidURL.ConnectionRefused', '', 'rejected', F.ReferenceUnreachable],
  [400, 'InvalidURL.Timeout', '', 'rejected', F.ReferenceUnreachable],
  [400, 'DataInspectionFailed', '', 'rejected', F.ContentRejected],
  [400, 'IPInfringementSuspect', '', 'rejected', F.ContentRejected],
  [400, 'Arrearage', '', 'rejected', F.AccountBlocked],
  [400, 'UnsupportedOperation', '', 'rejected', F.InvalidRequest],
  [401, 'InvalidApiKey', '', 'rejected', F.CredentialsRejected],
  [401, 'NOT AUTHORIZED', '', 'rejected', F.CredentialsRejected],
  [403, 'AccessDenied', 'current user api does not support synchronous calls', 'rejected', F.InvalidRequest],
  [403, 'AccessDenied', '', 'rejected', F.CredentialsRejected],
  [403, 'AccessDenied.Unpurchased', '', 'rejected', F.AccountBlocked],
  [403, 'Model.AccessDenied', '', 'rejected', F.AccountBlocked],
  [403, 'Workspace.AccessDenied', '', 'rejected', F.AccountBlocked],
  [403, 'AllocationQuota.FreeTierOnly', '', 'rejected', F.AccountBlocked],
  [404, 'ModelNotFound', '', 'rejected', F.ConfigurationInvalid],
  [404, 'WorkSpaceNotFound', '', 'rejected', F.ConfigurationInvalid],
  [404, 'NotFound', '', 'rejected', F.ConfigurationInvalid],
  [429, 'Throttling', '', 'not_sent', F.ProviderThrottled],
  [429, 'Throttling.RateQuota', '', 'not_sent', F.ProviderThrottled],
  [429, 'LimitRequests', '', 'not_sent', F.ProviderThrottled],
  [429, 'Throttling.BurstRate', '', 'not_sent', F.ProviderThrottled],
  [429, 'Throttling.AllocationQuota', 'Allocated quota exceeded', 'not_sent', F.ProviderThrottled],
  [429, 'Throttling.AllocationQuota', 'Free allocated quota exceeded.', 'rejected', F.AccountBlocked],
  [429, 'Throttling.AllocationQuota', 'token-plan 1-week quota has been exhausted', 'rejected', F.AccountBlocked],
  [429, 'CommodityNotPurchased', '', 'rejected', F.AccountBlocked],
  [429, 'PrepaidBillOverdue', '', 'rejected', F.AccountBlocked],
  [429, 'PostpaidBillOverdue', '', 'rejected', F.AccountBlocked],
  [408, 'RequestTimeOut', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'InternalError', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'InternalError.Algo', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'InternalError.Upload', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'InternalError.FileUpload', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'InternalError.Timeout', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'SystemError', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'ModelServiceFailed', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'RequestTimeOut', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'RewriteFailed', '', 'unknown', F.SubmitOutcomeUnknown],
  [500, 'ModelServingError', '', 'unknown', F.SubmitOutcomeUnknown],
  [502, 'InternalError', '', 'unknown', F.SubmitOutcomeUnknown],
  [503, 'ModelServingError', '', 'not_sent', F.ProviderUnavailable],
  [503, 'ModelUnavailable', '', 'not_sent', F.ProviderUnavailable],
  [504, 'RequestTimeOut', '', 'unknown', F.SubmitOutcomeUnknown],
  [200, 'InternalError', '', 'unknown', F.SubmitOutcomeUnknown],
  [418, 'SomethingNew', '', 'rejected', F.InvalidRequest],
])('HTTP %i %s "%s" of a submit is %s: %s', (status, code, message, kind, type) => {
  const outcome = decideSubmitOutcome({ bodyPulled: true, answer: coded(status, code, message) });
  expect(outcome).toMatchObject({ kind, error: { type, retryable: kind === 'not_sent', requestId: 'r' } });
});

test.each([200, 201, 301, 408, 499, 500, 502, 503, 504])(
  "HTTP %i without the provider's JSON leaves the outcome unknown",
  (status) => {
    for (const json of [undefined, null, 'text', {}, { output: {} }, { output: { task_id: '' } }]) {
      expect(decideSubmitOutcome({ bodyPulled: true, answer: { status, json } }).kind).toBe('unknown');
    }
  },
);

test.each([
  [400, 'rejected', F.InvalidRequest],
  [401, 'rejected', F.CredentialsRejected],
  [403, 'rejected', F.CredentialsRejected],
  [404, 'rejected', F.ConfigurationInvalid],
  [407, 'rejected', F.InvalidRequest],
  [429, 'not_sent', F.ProviderThrottled],
])("a whole answer with HTTP %i is %s, also without the provider's envelope", (status, kind, type) => {
  for (const json of [undefined, null, 'text', {}, { output: {} }, { output: { task_id: '' } }]) {
    const outcome = decideSubmitOutcome({ bodyPulled: true, answer: { status, json } });
    expect(outcome).toMatchObject({ kind, error: { type, billed: false } });
  }
});

test('a refusal that ends the purchase does not promise a retry', () => {
  for (const code of ['InternalError', 'SystemError', 'ModelUnavailable']) {
    const outcome = decideSubmitOutcome({ bodyPulled: true, answer: coded(400, code, 'no') });
    expect(outcome.kind).toBe('rejected');
    expect(outcome.kind === 'rejected' && outcome.error.nextStep).not.toMatch(/retried|tried again|Wait/);
  }
});

test.each([200, 202, 400, 500])(
  'a task id in the answer is a task, regardless of the status (%i) and the rest',
  (status) => {
    const json = { code: 'InternalError', output: { task_id: 't', task_status: 'FAILED' } };
    expect(decideSubmitOutcome({ bodyPulled: true, answer: { status, json } })).toMatchObject({
      kind: 'accepted',
      taskId: 't',
    });
  },
);

test.each<[string, { attempt: number; wish: number | undefined; random: number }, number]>([
  ['starts at one to two seconds', { attempt: 1, wish: undefined, random: 0 }, 1_000],
  ['starts at one to two seconds', { attempt: 1, wish: undefined, random: 1 }, 2_000],
  ['doubles', { attempt: 4, wish: undefined, random: 1 }, 16_000],
  ['stays within a minute', { attempt: 500, wish: undefined, random: 1 }, 60_000],
  ["never undercuts the provider's wish", { attempt: 1, wish: 30_000, random: 0 }, 30_000],
  ['spreads also those that got one wish', { attempt: 1, wish: 30_000, random: 1 }, 33_000],
])('the pause before the next submit %s', (_what, { attempt, wish, random }, delay) => {
  expect(nextSubmitDelay(attempt, wish, random)).toBe(delay);
});

test.each([
  ['seconds', '3', 3_000],
  ['a date', 'Sun, 01 Mar 2026 00:00:07 GMT', 7_000],
])('Retry-After as %s of a throttled submit is kept', async (_form, header, retryAfterMs) => {
  const server = createHttpServer((req, res) => {
    req.resume().on('end', () => {
      res.writeHead(429, { 'content-type': 'application/json', 'retry-after': header });
      res.end(JSON.stringify({ code: 'Throttling', message: 'slow down' }));
    });
  });
  const port = await listen(server);
  const client = new DashScopeClient({
    baseUrl: `http://127.0.0.1:${port}/api/v1`,
    apiKey: () => 'sk-test-0123456789',
    now: () => Date.UTC(2026, 2, 1),
  });
  onTestFinished(() => client.close());
  expect(await client.createTask(body)).toMatchObject({ kind: 'not_sent', error: { retryAfterMs } });
});

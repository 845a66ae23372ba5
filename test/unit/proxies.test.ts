import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { request } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import { connectClient } from '../../src/client/connect.js';
import { temporalFromEnv } from '../../src/client/temporal-target.js';
import { loadConfig } from '../../src/config/config.js';
import { createAddressPolicy } from '../../src/net/address-policy.js';
import { createDispatcher } from '../../src/net/dispatcher.js';
import { guardedConnector } from '../../src/net/guarded-connector.js';
import { NO_PROXIES, proxyName, proxyOf } from '../../src/net/proxies.js';
import { readAuthorities } from '../../src/net/trust.js';
import { S3Store } from '../../src/storage/s3-store.js';
import { secretsOf } from '../../src/text/result.js';
import { startConnectProxy } from '../support/connect-proxy.js';
import { ROOT } from '../support/root.js';

const http = new URL('http://plain.example:3128');
const https = new URL('http://secure.example:3128');
const serve = async (listener: RequestListener): Promise<number> => {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close().closeAllConnections());
  return (server.address() as AddressInfo).port;
};
const proxyTo = async (hosts: Record<string, number>, user?: string) => {
  const proxy = await startConnectProxy(hosts, user);
  onTestFinished(() => proxy.close());
  return proxy;
};

test.each([
  ['https://provider.example/api', [], https],
  ['http://provider.example/api', [], http],
  ['https://localhost:1/', [], undefined],
  ['http://127.9.9.9/', [], undefined],
  ['http://[::1]:8080/', [], undefined],
  ['https://temporal.localhost:7233', [], undefined],
  ['https://s3.example/', ['s3.example'], undefined],
  ['https://a.s3.example/', ['s3.example'], undefined],
  ['https://a.s3.example/', ['.s3.example'], undefined],
  ['https://a.s3.example/', ['*.S3.Example'], undefined],
  ['https://nots3.example/', ['s3.example'], https],
  ['https://s3.example.:443/', ['s3.example'], undefined],
  ['https://s3.example/', ['s3.example:443'], undefined],
  ['https://s3.example:8443/', ['s3.example:443'], https],
  ['https://10.1.2.3/', ['10.0.0.0/8'], undefined],
  ['https://11.1.2.3/', ['10.0.0.0/8'], https],
  ['https://ten.example/', ['10.0.0.0/8'], https],
  ['https://[fd00::5]/', ['fd00::/8'], undefined],
  ['https://[fd00::5]:1/', ['fd00::5'], undefined],
  ['https://1.10.1.2/', ['10.1.2'], https],
  ['https://any.example/', ['*'], undefined],
  ['https://any.example/', ['nonsense/x', 'a/200'], https],
])('%s except %j goes through %s', (url, except, proxy) => {
  expect(proxyOf(new URL(url), { http, https, except })).toBe(proxy);
});

test('the environment gives the proxies, the lower-case form first, and http to https when that has none', () => {
  const where = { cwd: ROOT, homeDir: ROOT };
  const env = {
    http_proxy: 'http://a.example:1',
    HTTP_PROXY: 'http://b.example:2',
    NO_PROXY: ' x.example, ,y.example ',
  };
  expect(loadConfig(env, where).proxies).toEqual({
    http: new URL('http://a.example:1'),
    https: new URL('http://a.example:1'),
    except: ['x.example', 'y.example'],
  });
});

test('a proxy that cannot be used is refused by its variable, and its password is nowhere in the message', () => {
  const env = { HTTPS_PROXY: 'socks5://me:hunter2-hunter2@proxy.example:1', HTTP_PROXY: 'proxy.example:3128' };
  for (const read of [() => loadConfig(env, { cwd: ROOT, homeDir: ROOT }), () => temporalFromEnv(env)]) {
    let message = '';
    try {
      read();
    } catch (error) {
      expect(error).toMatchObject({
        type: 'ConfigurationInvalid',
        issues: [{ path: 'HTTP_PROXY' }, { path: 'HTTPS_PROXY' }],
      });
      message = String(error);
    }
    expect(message).toContain('such as http://proxy.example:3128');
    expect(message).not.toContain('hunter2');
  }
  expect(secretsOf({ HTTPS_PROXY: 'http://me:hunter2-hunter2@proxy.example:1' })).toContain('hunter2-hunter2');
  expect(proxyName(new URL('http://me:hunter2@proxy.example:3128'))).toBe('http://proxy.example:3128');
});

test.each([
  ['nowhere.pem', 'does not exist'],
  ['package.json', 'holds no certificate in PEM'],
  ['test', 'cannot be read'],
])('a file of authorities %s is refused because it %s', (file, fault) => {
  for (const read of [
    () => readAuthorities(`${ROOT}${file}`),
    () => temporalFromEnv({ NODE_EXTRA_CA_CERTS: `${ROOT}${file}` }),
  ])
    expect(read).toThrow(
      expect.objectContaining({
        type: 'ConfigurationInvalid',
        message: `NODE_EXTRA_CA_CERTS names ${ROOT}${file}, which ${fault}`,
      }),
    );
});

test('requests go through the tunnel by name with the user of the proxy, and straight to loopback and what is excepted', async () => {
  const port = await serve((_, response) => void response.end('here'));
  const proxy = await proxyTo({ 'provider.test:80': port }, 'me:se cret');
  const [userProxy] = [new URL(proxy.url)];
  const dispatcher = createDispatcher({ http: userProxy, except: ['excepted.test'] });
  onTestFinished(() => dispatcher.close());
  const get = async (url: string) => (await request(url, { dispatcher })).body.text();
  expect(await get('http://provider.test/')).toBe('here');
  expect(await get(`http://127.0.0.1:${port}/`)).toBe('here');
  await expect(get('http://other.test/')).rejects.toThrow('Proxy response (403)');
  await expect(get('http://excepted.test/')).rejects.toThrow('ENOTFOUND');
  expect(proxy.asked).toEqual(['provider.test:80', 'other.test:80']);
});

/**
 * ALPN's list (RFC 7301) in a ClientHello that offers HTTP/1.1 and nothing else: its length, then one name with its
 * length.
 */
const ONLY_HTTP_1 = Buffer.from('\0\x09\x08http/1.1', 'latin1');

test.each(['direct', 'guarded', 'tunnelled'])('a %s TLS connection offers HTTP/1.1 only', async (way) => {
  const hellos: Buffer[] = [];
  const server = createTcpServer((socket: Socket) => {
    socket
      .on('error', () => {})
      .once('data', (hello) => {
        hellos.push(hello);
        socket.destroy();
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const proxy = await proxyTo({ 'provider.test:443': port });
  const dispatcher = {
    direct: () => createDispatcher(NO_PROXIES),
    guarded: () => createDispatcher(NO_PROXIES, { connect: guardedConnector(createAddressPolicy(['127.0.0.1'])) }),
    tunnelled: () => createDispatcher({ https: new URL(proxy.url), except: [] }),
  }[way]!();
  onTestFinished(() => dispatcher.destroy());
  const url = way === 'tunnelled' ? 'https://provider.test/' : `https://127.0.0.1:${port}/`;
  await expect(request(url, { dispatcher })).rejects.toThrow();
  expect(hellos[0]?.includes(ONLY_HTTP_1)).toBe(true);
});

test('an S3 store goes through the tunnel, and says that the proxy refuses', async () => {
  const port = await serve((_, response) => void response.writeHead(404).end());
  const proxy = await proxyTo({ 's3.test:80': port });
  const proxies = { http: new URL(proxy.url), https: new URL(proxy.url), except: [] };
  const storeAt = (endpoint: string) =>
    new S3Store({
      bucket: 'bucket',
      proxies,
      client: {
        endpoint,
        region: 'us-east-1',
        credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
        maxAttempts: 1,
      },
    });
  expect(await storeAt('http://s3.test').head('videos/a.mp4')).toBeUndefined();
  expect(await storeAt(`http://127.0.0.1:${port}`).head('videos/a.mp4')).toBeUndefined();
  await expect(storeAt('https://other.test').head('videos/a.mp4')).rejects.toMatchObject({ type: 'StoreUnavailable' });
  expect(proxy.asked).toEqual(['s3.test:80', 'other.test:443']);
});

test('a Temporal that the proxy refuses is reported with the proxy and its answer, without its password', async () => {
  const proxy = await proxyTo({}, 'me:se-cret');
  const env = { TEMPORAL_ADDRESS: 'temporal.test', HTTPS_PROXY: proxy.url.replace('se-cret', 'wrong') };
  await expect(connectClient(temporalFromEnv(env), { timeoutMs: 300 })).rejects.toMatchObject({
    type: 'TemporalUnreachable',
    message: `Temporal cannot be reached at temporal.test:7233 through the proxy ${proxy.url.replace('me:se-cret@', '')}: the proxy answers with 407`,
    nextStep: expect.stringContaining('HTTPS_PROXY'),
  });
});

test('a Temporal on loopback is reached directly, regardless of what its library reads in the environment', async () => {
  const proxy = await proxyTo({});
  const port = await serve(() => undefined);
  for (const name of ['https_proxy', 'http_proxy', 'grpc_proxy']) {
    process.env[name] = proxy.url;
    onTestFinished(() => void delete process.env[name]);
  }
  const target = temporalFromEnv({ TEMPORAL_ADDRESS: `127.0.0.1:${port}`, HTTPS_PROXY: proxy.url });
  await expect(connectClient(target, { timeoutMs: 300 })).rejects.toMatchObject({ type: 'TemporalUnreachable' });
  expect(proxy.asked).toEqual([]);
});

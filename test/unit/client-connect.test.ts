import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { expect, onTestFinished, test } from 'vitest';
import { connectClient } from '../../src/client/connect.js';
import { connectionInterceptors } from '../../src/client/connection-interceptors.js';
import { temporalFromEnv } from '../../src/client/temporal-target.js';
import { deferred } from '../support/deferred.js';

const profile = async (text: string): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-profile-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'temporal.toml'), text);
  return join(folder, 'temporal.toml');
};

test('address, namespace and key come from the given variables, and an empty one counts as unset', () => {
  const env = { TEMPORAL_ADDRESS: 'temporal.example:7233', TEMPORAL_NAMESPACE: '', TEMPORAL_API_KEY: 'key-1' };
  const { namespace, connection } = temporalFromEnv(env);
  expect(namespace).toBe('default');
  expect(connection).toMatchObject({ address: 'temporal.example:7233', apiKey: 'key-1', tls: true });
});

test('a profile gives what no variable gives', async () => {
  const file = await profile('[profile.prod]\naddress = "prod.example:7233"\nnamespace = "films"\n');
  const env = { TEMPORAL_CONFIG_FILE: file, TEMPORAL_PROFILE: 'prod', TEMPORAL_NAMESPACE: 'other' };
  expect(temporalFromEnv(env)).toMatchObject({ namespace: 'other', connection: { address: 'prod.example:7233' } });
});

test('a profile that is missing or damaged is refused with what to correct', async () => {
  const damaged = { TEMPORAL_CONFIG_FILE: await profile('[profile.default\n') };
  for (const env of [{ TEMPORAL_PROFILE: 'nowhere' }, damaged]) {
    expect(() => temporalFromEnv(env)).toThrow(
      expect.objectContaining({ type: 'ConfigurationInvalid', nextStep: expect.stringContaining('TEMPORAL_PROFILE') }),
    );
  }
});

test('a server that accepts and never answers is given up within the bound, with its address and that', async () => {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close());
  const address = `127.0.0.1:${(server.address() as { port: number }).port}`;
  const started = Date.now();
  await expect(
    connectClient({ namespace: 'default', connection: { address } }, { timeoutMs: 500 }),
  ).rejects.toMatchObject({
    type: 'TemporalUnreachable',
    message: `Temporal cannot be reached at ${address}: nothing there answers as Temporal does`,
    nextStep: expect.stringContaining('TEMPORAL_ADDRESS'),
  });
  expect(Date.now() - started).toBeLessThan(5_000);
});

test('a request that is still being retried when its connection is closed ends nothing else', async () => {
  const answered = deferred<void>();
  const unavailable = createHttp2Server((_, response) => {
    response.writeHead(200, { 'content-type': 'application/grpc', 'grpc-status': '14', 'grpc-message': 'away' });
    response.end();
    answered.resolve(undefined);
  }).listen(0, '127.0.0.1');
  await once(unavailable, 'listening');
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException').on('uncaughtException', note);
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException');
    for (const other of others) process.on('uncaughtException', other);
    unavailable.close();
  });
  const address = `127.0.0.1:${(unavailable.address() as AddressInfo).port}`;
  const connection = Connection.lazy({ address, interceptors: connectionInterceptors() });
  const asked = connection.workflowService.getSystemInfo({}).catch((error: unknown) => error);
  await answered.promise;
  await connection.close();
  // Ends when the retry has met the closed connection.
  expect(await asked).toMatchObject({ code: 1, details: 'The connection is closed' });
  expect(uncaught).toEqual([]);
});

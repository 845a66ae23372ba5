import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { expect, onTestFinished, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.js';
import { createPrepareRequest, DOWNLOADS_MAX } from '../../activities/prepare-request.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { FailureType } from '../../src/contract/failure-type.js';
import { STEP_TIMES } from '../../src/contract/times.js';
import { VideoError } from '../../src/contract/video-error.js';
import { RecentImages } from '../../src/media/recent-images.js';
import { stepTable } from '../../workflows/shared/activities.js';
import { setUp } from './ledger-setup.js';

const HASH = 'ab'.repeat(32);
const REQUEST = { prompt: 'p', duration: 4, fps: 24, size: '1280*720' };
const storeFault = new VideoError(FailureType.StoreUnavailable, 'the store is away', { retryable: true });
const loginFault = new VideoError(FailureType.ConfigurationInvalid, 'the session token has expired', {
  retryable: true,
});

/** Runs attempts of the step one after another, as Temporal does: each sees the heartbeat of the one before. */
function attempts(reference_image: string) {
  const world = setUp();
  let fault: unknown;
  world.store.get = () => Promise.reject(fault);
  const deps = {
    ...world,
    storeId: 'one',
    images: new RecentImages(),
    allowPrivateUrls: ['127.0.0.1'],
    spoolDir: '/nonexistent',
    times: DEFAULT_TIMES,
    knowsAttributes: async () => true,
    webhook: undefined,
  } as unknown as ActivityDeps;
  const step = createPrepareRequest(deps);
  let heartbeatDetails: unknown;
  let attempt = 0;
  return async (because?: unknown, change: object = {}): Promise<{ type: string; nonRetryable: boolean }> => {
    fault = because;
    attempt += 1;
    const environment = new MockActivityEnvironment(
      { attempt, heartbeatDetails },
      { logger: new DefaultLogger('ERROR') },
    );
    environment.on('heartbeat', (details: unknown) => {
      heartbeatDetails = details;
    });
    const buyer = { workflowId: 'w', firstRunId: 'r' };
    const input = { request: { ...REQUEST, reference_image }, buyer, startedAtMs: 0, batchId: null, ...change };
    return environment.run(step, input).then(
      () => Promise.reject(new Error('prepared')),
      (error) => error,
    );
  };
}

test('our own store is waited for: its faults never end the first step', async () => {
  const attempt = attempts(`asset:references/${HASH}.jpg`);
  for (let n = 0; n < 20; n += 1) {
    expect(await attempt(storeFault)).toMatchObject({ type: 'StoreUnavailable', nonRetryable: false });
    expect(await attempt(loginFault)).toMatchObject({ type: 'ConfigurationInvalid', nonRetryable: false });
  }
});

test.each([null, undefined, 1, 'text', []])(
  'a run that was started with %j fails as InvalidRequest at once',
  async (given) => {
    expect(await attempts('')(undefined, { request: given })).toMatchObject({
      type: 'InvalidRequest',
      nonRetryable: true,
    });
  },
);

test('the first step is retried for as long as the upload', () => {
  const { prepareRequest, uploadReference } = stepTable(STEP_TIMES, 'video');
  expect(prepareRequest.scheduleToCloseTimeout).toBe(uploadReference.scheduleToCloseTimeout);
  expect(prepareRequest.retry.maximumAttempts).toBeUndefined();
});

test('an event that waits for the one before it has as long for itself', () => {
  const { postEvent } = stepTable(STEP_TIMES, 'video');
  const bound = postEvent.scheduleToCloseTimeout as unknown as (input: { readonly route?: object }) => string;
  expect([bound({}), bound({ route: { after: null } }), bound({ route: { after: 'e1' } })]).toEqual([
    ...['24h', '24h', '48h'],
  ]);
});

test("the caller's address is tried eight times, and faults of the store between do not count", async () => {
  const unreachable = attempts('http://127.0.0.1:9/boat.jpg');
  for (let n = 1; n < 8; n += 1) {
    expect(await unreachable()).toMatchObject({ type: 'ReferenceUnreachable', nonRetryable: false });
  }
  expect(await unreachable()).toMatchObject({ type: 'ReferenceUnreachable', nonRetryable: true });

  const attempt = attempts(`asset:references/${HASH}.jpg`);
  for (let n = 1; n < 8; n += 1) {
    expect(await attempt(storeFault)).toMatchObject({ nonRetryable: false });
    expect(await attempt(new Error('a bug'))).toMatchObject({ type: 'UnexpectedError', nonRetryable: false });
  }
  expect(await attempt(storeFault)).toMatchObject({ nonRetryable: false });
  expect(await attempt(new Error('a bug'))).toMatchObject({ type: 'UnexpectedError', nonRetryable: true });
});

test('callers whose images come slowly take a part of the places of a worker, and hold nobody against themselves', async () => {
  let opened = 0;
  const server = createServer(() => {
    opened += 1;
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const attempt = attempts(`http://127.0.0.1:${(server.address() as AddressInfo).port}/slow.jpg`);
  const slow = Array.from({ length: DOWNLOADS_MAX }, () => attempt());
  await expect.poll(() => opened).toBe(DOWNLOADS_MAX);
  for (let n = 0; n < 20; n += 1) {
    expect(await attempt()).toMatchObject({ type: 'ReferenceUnreachable', nonRetryable: false, nextRetryDelay: 5_000 });
  }
  expect(opened).toBe(DOWNLOADS_MAX);
  server.closeAllConnections();
  await Promise.all(slow);
  const again = attempt();
  await expect.poll(() => opened).toBe(DOWNLOADS_MAX + 1);
  server.closeAllConnections();
  await again;
});

test('a request that gets no turn to be made ready leaves that to the next step', async () => {
  const world = setUp();
  world.ledger.findNewest = () => new Promise(() => undefined);
  const step = createPrepareRequest({
    ...world,
    storeId: 'one',
    slots: { workflowId: 's' },
    times: { ...DEFAULT_TIMES, nextStepMs: 50 },
    knowsAttributes: async () => true,
  } as unknown as ActivityDeps);
  const request = { ...REQUEST, reference_image: 'oss://bucket/boat.jpg' };
  const input = { request, buyer: { workflowId: 'w', firstRunId: 'r' }, startedAtMs: 0, batchId: null };
  const runs = Array.from({ length: 33 }, () => new MockActivityEnvironment().run(step, input));
  expect(await Promise.race(runs)).toEqual(expect.not.objectContaining({ ready: expect.anything() }));
});

import { describe, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { followVideo } from '../../src/client/follow.js';
import { WanScheduleClient } from '../../src/client/schedule-client.js';
import { WanVideoClient } from '../../src/client/video-client.js';
import { VideoError } from '../../src/contract/video-error.js';
import { S3Store } from '../../src/storage/s3-store.js';
import { openStore } from '../../src/store/open-store.js';
import { verifyWebhook } from '../../src/webhook/signature.js';
import { runWorker } from '../../src/worker/run-worker.js';

/** A client that fails on every call: what is refused here is refused before anything is sent. */
const calls: string[] = [];
const client = new Proxy(
  { workflow: undefined },
  {
    get: (target, name) => {
      if (name in target) return target[name as keyof typeof target];
      calls.push(String(name));
      throw new Error(`${String(name)} was used`);
    },
  },
) as never;
const store = openStore('file:/tmp/none');
const valid = {
  prompt: 'a boat drifts over a calm lake',
  duration: 4,
  fps: 24,
  size: '1280*720',
  reference_image: 'https://images.example/boat.jpg',
} as const;
const videos = new WanVideoClient({ client, store });
const { batches, schedules } = videos;
const nightly = { id: 'nightly', cron: '0 3 * * *', timezone: 'UTC', manifest: { key: 'lists/{date}.jsonl' } };
const both = { key: 'lists/a.jsonl', file: 'a.jsonl' };
const SECRET = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';

/** The faults by which something is refused. */
async function pathsOf(work: () => unknown): Promise<string[]> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof VideoError)) throw error;
    return (error.issues ?? []).map(({ path }) => path);
  }
  return ['accepted'];
}

describe('wrong options are refused by their names, before anything is connected', () => {
  test.each<[string, () => unknown, string[]]>([
    ['a client without a client', () => new WanVideoClient({} as never), ['client']],
    ['no options', () => new WanVideoClient(undefined as never), ['']],
    ['a connection as client', () => new WanVideoClient({ client: { address: 'x' } as never }), ['client']],
    ['a store by its address', () => new WanVideoClient({ client, store: 's3://b/p' as never }), ['store']],
    ['an empty queue', () => new WanVideoClient({ client, taskQueue: '' }), ['taskQueue']],
    ['an unknown option', () => new WanVideoClient({ client, task_queue: 'x' } as never), ['task_queue']],
    ['batches without a store', () => new WanBatchClient({ client } as never), ['store']],
    ['schedules without a store', () => new WanScheduleClient({ client } as never), ['store']],
    ['two faults at once', () => new WanBatchClient({ client: 1, store: 2 } as never), ['client', 'store']],
    ['a time that is no number', () => videos.result('a', { timeoutMs: '5' as never }), ['timeoutMs']],
    ['a time of zero', () => videos.result('a', { timeoutMs: 0 }), ['timeoutMs']],
    ['a time that no timer holds', () => videos.result('a', { timeoutMs: 1e12 }), ['timeoutMs']],
    ['a signal that is none', () => videos.generate(valid, { signal: {} as never }), ['signal']],
    ['a controller for its signal', () => videos.start(valid, { signal: new AbortController() as never }), ['signal']],
    ['an id that is no text', () => videos.start(valid, { id: 7 as never }), ['id']],
    ['seconds instead of milliseconds', () => videos.result('a', { timeout: 5 } as never), ['timeout']],
    ['a link of eight days', () => videos.presign('a', { expiresSeconds: 691_200 }), ['expiresSeconds']],
    ['a store in FTP', () => openStore('ftp://x'), ['url']],
    ['a store that is no text', () => openStore(undefined as never), ['url']],
    ['an environment that is text', () => openStore('file:x', { env: 'A=b' as never }), ['env']],
    ['a variable that is no text', () => openStore('file:x', { env: { AWS_REGION: 1 } as never }), ['env']],
    [
      'a proxy that cannot be used',
      () => openStore('s3://videos', { env: { HTTPS_PROXY: 'socks5://x' } }),
      ['HTTPS_PROXY'],
    ],
    ['an environment with faults', () => WanVideoClient.fromEnv({ env: { ASSET_STORE: 'ftp://x' } }), ['ASSET_STORE']],
    ['an unknown option of fromEnv', () => WanVideoClient.fromEnv({ environment: {} } as never), ['environment']],
    ['a request that is none', () => videos.start(null as never), ['']],
    ['an image that is a number', () => videos.start({ ...valid, reference_image: 7 as never }), ['reference_image']],
    ['an image that is an object', () => videos.start({ ...valid, reference_image: {} as never }), ['reference_image']],
    ['no image', () => videos.start({ ...valid, reference_image: undefined as never }), ['reference_image']],
    ['a request of a class', () => videos.start(new (class Draft {})() as never), ['']],
    ['a batch of nothing', () => batches.start(undefined as never), ['']],
    ['a batch without a manifest', () => batches.start({} as never), ['file']],
    ['a batch of a text', () => batches.start({ lines: 'abc' as never }), ['lines']],
    ['a batch of a file that is no path', () => batches.start({ file: 5 as never }), ['file']],
    ['an id among the lines', () => batches.start({ lines: [valid], id: 'spring' } as never), ['id']],
    ['an unknown option of a batch', () => batches.start({ lines: [valid] }, { batchId: 'a' } as never), ['batchId']],
    ['a batch with an id that is no text', () => batches.start({ lines: [valid] }, { id: 5 as never }), ['id']],
    ['a flag as text', () => batches.start({ lines: [valid] }, { allowInvalid: 'no' as never }), ['allowInvalid']],
    ['a batch with a signal that is none', () => batches.start({ lines: [valid] }, { signal: 1 as never }), ['signal']],
    ['an estimate without its account', () => batches.estimate({ lines: [valid] }, {} as never), ['account']],
    ['a retry with an unknown option', () => batches.retry('a', { cause: 'all' } as never), ['cause']],
    ['a retry of another batch', () => batches.retry('a', { retryOf: 'b' } as never), ['retryOf']],
    ['a batch that is waited for by a run', () => batches.result('a', { runId: 'b' } as never), ['runId']],
    ['a pause for a reason that is no text', () => batches.pause('a', {} as never), ['reason']],
    ['a batch that is waited for by no name', () => batches.result(undefined as never), ['id']],
    ['a schedule of nothing', () => schedules.create(null as never), ['']],
    ['an empty schedule', () => schedules.create({} as never), ['id', 'cron', 'timezone', 'manifest']],
    ['a schedule with a misspelt option', () => schedules.create({ ...nightly, windw: 3 } as never), ['windw']],
    ['a schedule with two manifests', () => schedules.create({ ...nightly, manifest: both } as never), ['file']],
    ['a delay as text', () => schedules.create({ ...nightly, jitterSeconds: '5' as never }), ['jitterSeconds']],
    ['a time before now', () => schedules.create({ ...nightly, catchupSeconds: -1 }), ['catchupSeconds']],
    ['an unknown overlap', () => schedules.create({ ...nightly, overlap: 'queue' as never }), ['overlap']],
    ['a list by a misspelt condition', () => videos.list({ tenent: 'film' } as never).next(), ['tenent']],
    ['a list by a status of ours', () => videos.list({ status: 'running' as never }).next(), ['status']],
    ['a list by labels as text', () => videos.list({ labels: 'a=b' as never }).next(), ['labels']],
    ['a cancel without a run', () => videos.cancel(undefined as never), ['id']],
    ['a cancel for a reason that is no text', () => videos.cancel('a', 5 as never), ['reason']],
    ['a result with a second id', () => videos.result('a', { id: 'b' } as never), ['id']],
    ['a reason among the options', () => videos.cancel('a', 'late', { reason: 'b' } as never), ['reason']],
    ['a decision with a run', () => videos.resolve('a', { runId: 'b' } as never), ['runId']],
    ['a progress with a misspelt option', () => videos.progress('a', { runid: 'b' } as never), ['runid']],
    ['a description with a misspelt option', () => videos.describe('a', { runid: 'b' } as never), ['runid']],
    ['a retry of no run', () => videos.retry(7 as never), ['id']],
    ['a decision with a misspelt field', () => videos.resolve('a', { taskId: 'b' } as never), ['taskId']],
    ['a follower without a function', () => followVideo(videos, 'a', undefined as never), ['onProgress']],
    ['a follower with a time', () => followVideo(videos, 'a', () => {}, { timeoutMs: 5 } as never), ['timeoutMs']],
    ['a parsed webhook', () => verifyWebhook({ id: 'a' } as never, {}, SECRET), ['body']],
    ['a webhook without headers', () => verifyWebhook('{}', null as never, SECRET), ['headers']],
    ['a webhook without a secret', () => verifyWebhook('{}', {}, undefined as never), ['secret']],
    ['a worker with a plugin outside a list', () => runWorker({ plugins: {} as never }), ['plugins']],
    ['a worker with a key that is no function', () => runWorker({ apiKey: 'sk-1' as never }), ['apiKey']],
    ['a worker with an unknown option', () => runWorker({ taskQueue: 'video' } as never), ['taskQueue']],
    ['a worker with a codec outside a converter', () => runWorker({ dataConverter: [] as never }), ['dataConverter']],
    ['a worker with a signal that is none', () => runWorker({ signal: 'SIGTERM' as never }), ['signal']],
    ['a worker with faults in its environment', () => runWorker({ env: { LOG_LEVEL: 'loud' } }), ['LOG_LEVEL']],
  ])('%s', async (_what, work, paths) => {
    expect(await pathsOf(work)).toEqual(paths);
    expect(calls).toEqual([]);
  });

  test('a named store that the workers would not see is refused; an unnamed one is only not used', async () => {
    const remote = { TEMPORAL_ADDRESS: 'temporal.example:7233' };
    const named = () => WanVideoClient.fromEnv({ env: { ...remote, ASSET_STORE: 'file:videos' } });
    expect(await pathsOf(named)).toEqual(['ASSET_STORE']);
  });
});

test('a client without a store names what gives one', () => {
  expect(() => new WanVideoClient({ client }).batches).toThrow(VideoError);
  expect(videos.batches).toBeInstanceOf(WanBatchClient);
  expect(videos.schedules).toBeInstanceOf(WanScheduleClient);
});

describe('a wait ends', () => {
  const waiting = (end: Promise<unknown> = new Promise(() => undefined)) =>
    new WanVideoClient({
      client: {
        withAbortSignal: (_signal: AbortSignal, work: () => unknown) => work(),
        workflow: { getHandle: () => ({ result: () => end }) },
      } as never,
    });

  test('with its time, by a failure that says that the run continues', async () => {
    await expect(waiting().result('video/a', { timeoutMs: 5 })).rejects.toMatchObject({
      id: 'video/a',
      error: { type: 'WaitTimedOut' },
      message: 'video/a has not ended within 5 ms; it continues',
    });
  });

  test('with its signal, by the signal’s reason', async () => {
    const reason = new Error('the caller left');
    await expect(waiting().result('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const stop = new AbortController();
    const wait = waiting().result('a', { signal: stop.signal, timeoutMs: 60_000 });
    stop.abort(reason);
    await expect(wait).rejects.toBe(reason);
  });

  test('with the run', async () => {
    const result = { video_url: 's3://a/b' };
    expect(await waiting(Promise.resolve(result)).result('a', { timeoutMs: 60_000 })).toBe(result);
  });
});

test('a store in S3 takes keys and endpoint from the environment that it is given, and signs with them', async () => {
  const env = {
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'secret',
    AWS_ENDPOINT_URL_S3: 'https://s3.example',
  };
  const s3 = openStore('s3://videos/spring', { env });
  const url = new URL((await s3.presign?.('videos/a.mp4', { seconds: 60 })) ?? '');
  expect(url.origin + url.pathname).toBe('https://s3.example/videos/spring/videos/a.mp4');
  expect(url.searchParams.get('X-Amz-Credential')).toMatch(/^AKIDEXAMPLE\/\d+\/eu-central-1\//);
  expect(store.presign).toBeUndefined();
});

test('a signed address names the endpoint that others reach, and is signed for it', async () => {
  const client = {
    region: 'eu-central-1',
    endpoint: 'http://s3:7070',
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
  };
  const signedBy = async (options: object): Promise<URL> => {
    const s3 = new S3Store({ bucket: 'videos', client, ...options });
    return new URL(await s3.presign('videos/a.mp4', { seconds: 60 }));
  };
  expect((await signedBy({})).origin).toBe('http://s3:7070');
  const outside = await signedBy({ presignEndpoint: 'https://videos.example' });
  const direct = await signedBy({ client: { ...client, endpoint: 'https://videos.example' } });
  expect(outside.origin + outside.pathname).toBe('https://videos.example/videos/videos/a.mp4');
  expect(outside.searchParams.get('X-Amz-SignedHeaders')).toBe('host');
  if (outside.searchParams.get('X-Amz-Date') === direct.searchParams.get('X-Amz-Date')) {
    expect(outside.href).toBe(direct.href);
  }
});

import { expect, test } from 'vitest';
import { FailureType } from '../../src/contract/failure-type.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { RenderKind } from '../../src/polling/forecast.js';
import { LearnedRenderTimes } from '../../src/polling/render-times.js';
import { MemoryStore } from '../property/memory-store.js';

const KIND: RenderKind = { resolution: '720P', seconds: 10, audio: true };
const SCOPE = { provider: 'emulator', account: 'default' };

function world() {
  const time = { ms: Date.UTC(2026, 0, 1) };
  const store = new MemoryStore(() => time.ms);
  const warnings: string[] = [];
  const open = (worker: string): LearnedRenderTimes =>
    new LearnedRenderTimes({
      store,
      scope: SCOPE,
      worker,
      now: () => time.ms,
      onWarning: (message) => warnings.push(message),
    });
  const learn = (times: LearnedRenderTimes, seconds: number, kind = KIND): void => {
    time.ms += 1_000;
    times.learn(kind, { endedAtMs: time.ms, renderMs: seconds * 1000 });
  };
  return { time, store, warnings, open, learn };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what one worker learned is known to the next one', async () => {
  const { open, learn } = world();
  const first = open('a');
  for (const seconds of [60, 62, 61]) learn(first, seconds);
  await first.sync();
  const second = open('b');
  expect(second.forecast(KIND).samples).toBe(0);
  await second.sync();
  expect(second.forecast(KIND)).toEqual(first.forecast(KIND));
  expect(second.forecast(KIND).samples).toBe(3);
});

test('renders of several workers are merged by their times, and no render counts twice', async () => {
  const { open, learn } = world();
  const [a, b] = [open('a'), open('b')];
  learn(a, 60);
  learn(b, 61);
  learn(a, 62);
  for (let round = 0; round < 3; round += 1) {
    await a.sync();
    await b.sync();
  }
  expect(a.forecast(KIND).samples).toBe(3);
  expect(b.forecast(KIND)).toEqual(a.forecast(KIND));
});

test('older renders that arrive late from another worker do not look like the newest', async () => {
  const { open, learn } = world();
  const old = open('old');
  for (let index = 0; index < 24; index += 1) learn(old, 90);
  await old.sync();
  const young = open('young');
  for (let index = 0; index < 24; index += 1) learn(young, 60);
  await young.sync();
  const reader = open('reader'); // takes the object that was changed last first
  await reader.sync();
  expect(reader.forecast(KIND).latestMs).toBeLessThan(70_000);
});

test('kinds are distinguished by tier, length and sound', async () => {
  const { open, learn } = world();
  const times = open('a');
  learn(times, 60);
  for (const other of [{ resolution: '1080P' as const }, { seconds: 5 }, { audio: false }]) {
    expect(times.forecast({ ...KIND, ...other }).samples).toBe(0);
  }
});

test('a success is written behind, at most once a minute', async () => {
  const { open, learn, store, time } = world();
  let writes = 0;
  const put = store.put.bind(store);
  store.put = (...args) => {
    writes += 1;
    return put(...args);
  };
  const times = open('a');
  await times.sync();
  for (let index = 0; index < 40; index += 1) learn(times, 60); // 40 s pass
  await settle();
  expect(writes).toBe(0);
  time.ms += 60_000;
  times.forecast(KIND);
  await times.sync();
  expect(writes).toBe(1);
});

test('the object stays small: 24 renders for each of all kinds', async () => {
  const { open, time, store } = world();
  const times = open('a');
  for (const resolution of ['720P', '1080P'] as const) {
    for (let seconds = 2; seconds <= 15; seconds += 1) {
      for (const audio of [true, false]) {
        for (let index = 0; index < 30; index += 1) {
          time.ms += 1;
          times.learn({ resolution, seconds, audio }, { endedAtMs: time.ms, renderMs: 123_456 });
        }
      }
    }
  }
  await times.sync();
  const [object] = store.infos('stats/');
  expect(object?.key).toBe('stats/emulator/default/a.json');
  expect(object?.bytes).toBeLessThan(64 * 1024);
});

test.each([
  { text: '{"v":1', why: 'cut off' },
  { text: '[]', why: 'no object' },
  { text: '{"v":2,"kinds":[]}', why: 'of a later version' },
  { text: '{"v":1,"kinds":{}}', why: 'without a list' },
  { text: '{"v":1,"kinds":[null]}', why: 'with a hole' },
  { text: '{"v":1,"kinds":[{"resolution":"480P","seconds":5,"audio":true,"renders":[]}]}', why: 'of another tier' },
  { text: '{"v":1,"kinds":[{"resolution":"720P","seconds":5,"audio":true,"renders":[[1,"x"]]}]}', why: 'with a text' },
  { text: '{"v":1,"kinds":[{"resolution":"720P","seconds":5,"audio":true,"renders":[null]}]}', why: 'with no pair' },
  {
    text: '{"v":1,"kinds":[{"resolution":"720P","seconds":5,"audio":true,"renders":[[1,-5]]}]}',
    why: 'with a time before its start',
  },
])('an object that is $why is left out with a warning, and the others are read', async ({ text }) => {
  const { open, learn, store, warnings } = world();
  const good = open('a');
  learn(good, 60);
  await good.sync();
  store.set('stats/emulator/default/bad.json', Buffer.from(text));
  const reader = open('c');
  await reader.sync();
  expect(reader.forecast(KIND).samples).toBe(1);
  expect(warnings).toEqual([expect.stringContaining('stats/emulator/default/bad.json')]);
});

test('a store that fails is warned about; learning goes on and is written when it is back', async () => {
  const { open, learn, store, warnings } = world();
  const times = open('a');
  const put = store.put.bind(store);
  store.put = () =>
    Promise.reject(new VideoError(FailureType.StoreUnavailable, 'the disk is full', { retryable: true }));
  learn(times, 60);
  await times.sync();
  expect(warnings).toContainEqual(expect.stringContaining('the disk is full'));
  expect(times.forecast(KIND).samples).toBe(1);
  store.put = put;
  await times.sync();
  expect(store.json('stats/emulator/default/a.json')).toMatchObject({ v: 1 });
});

test('objects of workers that are gone for two weeks are removed, and what they knew is not forgotten', async () => {
  const { open, learn, store, time } = world();
  const old = open('old');
  learn(old, 60);
  await old.sync();
  const young = open('young');
  await young.sync();
  learn(young, 61);
  await young.sync();
  time.ms += 15 * 86_400_000;
  learn(young, 62);
  await young.sync();
  expect(store.infos('stats/').map(({ key }) => key)).toEqual(['stats/emulator/default/young.json']);
  const next = open('next');
  await next.sync();
  expect(next.forecast(KIND).samples).toBe(3);
});

test('a time that is none is not learned', () => {
  const { open } = world();
  const times = open('a');
  for (const renderMs of [Number.NaN, -1, 4 * 3_600_000]) times.learn(KIND, { endedAtMs: 1, renderMs });
  expect(times.forecast(KIND).samples).toBe(0);
});

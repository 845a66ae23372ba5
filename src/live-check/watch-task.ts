import { MODEL } from '../contract/model.js';
import type { VideoResult } from '../contract/result.js';
import { HOUR_MS } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import { parseProviderTime } from '../dashscope/answer-reader.js';
import { formatListTime, type TaskSnapshot } from '../dashscope/wire.js';
import { comparePrompts } from '../ledger/proof.js';
import type { BoughtTask } from '../ledger/purchase-view.js';
import { judgeResultUrl } from '../net/open-result.js';
import type { AskDeps } from './ask-free.js';
import { LIVE_PROMPT } from './buy-one.js';
import { LIVE_IMAGE } from './live-image.js';
import type { FinishedTask, LiveTools } from './live-tools.js';
import { NOT_SEEN } from './record.js';
import { type Exchange, LiveWire, member, outcomeOf, redacted, textOf } from './wire.js';

interface WatchDeps extends AskDeps {
  readonly tools: LiveTools;
}

/** How the one task ended. */
type WatchOutcome =
  | { readonly kind: 'video'; readonly result: VideoResult }
  | { readonly kind: 'none'; readonly why: string };

/** The ledger decides from three listings over a minute, begun a minute after the submit. */
const LISTED_WITHIN_MS = 120_000;
/** The provider allows a render of 3 h; a person does not wait that long, and the purchase is in the ledger. */
const ENDS_WITHIN_MS = 30 * 60_000;
/** Pixels of the tier. */
const PIXELS = 921_600;
/** A failed archive is retried; the video stays at the provider for 24 h. */
const ARCHIVES_MAX = 3;

/** Watches the task to its end, asks meanwhile what only a task can show, and archives its video. */
export async function watchTask(deps: WatchDeps, task: BoughtTask, acceptedAtMs: number | null): Promise<WatchOutcome> {
  const { wire, answers, clock, signal, pollEveryMs } = deps;
  const { taskId } = task;
  const query = (): Promise<Exchange> => wire.ask(`/tasks/${taskId}`, { signal });
  const states: Record<string, number> = {};
  const fromMs = acceptedAtMs ?? clock.now();
  let listedMs: number | undefined;
  let last = await query();
  const firstState = textOf(last, 'output', 'task_status');
  if (acceptedAtMs !== null) answers.give('first_state', firstState ?? outcomeOf(last), redacted(last));
  let cancelSent = false;
  for (;;) {
    const status = textOf(last, 'output', 'task_status') ?? outcomeOf(last);
    states[status] ??= clock.now() - fromMs;
    if (listedMs === undefined && acceptedAtMs !== null && clock.now() - fromMs <= LISTED_WITHIN_MS) {
      if (await isListed(deps, taskId)) listedMs = clock.now() - fromMs;
    }
    if (status === 'RUNNING' && !cancelSent) {
      cancelSent = true;
      // Documented to be refused. If it is accepted, the task is free and the check ends without a video.
      const cancel = await wire.ask(`/tasks/${taskId}/cancel`, { method: 'POST', signal });
      answers.give('cancel_running', outcomeOf(cancel), redacted(cancel));
    }
    if (['SUCCEEDED', 'FAILED', 'CANCELED', 'UNKNOWN'].includes(status)) break;
    if (clock.now() - fromMs > ENDS_WITHIN_MS) {
      return {
        kind: 'none',
        why: `the task has not ended after ${ENDS_WITHIN_MS / 60_000} minutes; run the check again`,
      };
    }
    await clock.sleep(pollEveryMs, signal);
    last = await query();
  }
  if (acceptedAtMs !== null) {
    // A task that has ended may still not be listed; the ledger depends on this delay.
    while (listedMs === undefined && clock.now() - fromMs <= LISTED_WITHIN_MS) {
      await clock.sleep(pollEveryMs, signal);
      if (await isListed(deps, taskId)) listedMs = clock.now() - fromMs;
    }
    answers.give('list_lag', listedMs === undefined ? 'no' : 'yes');
    answers.give('list_delay', listedMs === undefined ? 'never' : String(Math.round(listedMs)));
    answers.give('states', Object.keys(states).join(', '), states);
  }
  await askListed(deps, taskId);
  return finishWatch(deps, task, last);
}

async function rowsOf({ wire, signal }: WatchDeps, query = ''): Promise<Record<string, unknown>[]> {
  const list = await wire.ask(`/tasks/?model_name=${MODEL}&page_no=1&page_size=100${query}`, { signal });
  const rows = 'json' in list ? member(list.json, 'data') : undefined;
  return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
}

const isListed = async (deps: WatchDeps, taskId: string): Promise<boolean> =>
  (await rowsOf(deps)).some((row) => row['task_id'] === taskId);

async function askListed(deps: WatchDeps, taskId: string): Promise<void> {
  const { answers } = deps;
  const rows = await rowsOf(deps);
  const created = rows.map((row) => Number(row['gmt_create']));
  const falls = created.every((at, n) => n === 0 || at <= (created[n - 1] ?? at));
  const rises = created.every((at, n) => n === 0 || at >= (created[n - 1] ?? at));
  answers.give('list_order', falls === rises ? NOT_SEEN : falls ? 'newest first' : 'oldest first', rows.length);
  const row = rows.find((one) => one['task_id'] === taskId);
  const at = Number(row?.['gmt_create']);
  if (!Number.isFinite(at)) return answers.give('list_zone', NOT_SEEN);
  const fits: string[] = [];
  for (const [zone, shiftMs] of [
    ['UTC+8', 0],
    ['UTC', -8 * HOUR_MS],
  ] as const) {
    // `formatListTime` writes UTC+8.
    const from = formatListTime(at + shiftMs - 600_000);
    const to = formatListTime(at + shiftMs + 600_000);
    const found = await rowsOf(deps, `&start_time=${from}&end_time=${to}`);
    if (found.some((one) => one['task_id'] === taskId)) fits.push(zone);
  }
  answers.give(
    'list_zone',
    fits.join(' and ') || 'neither UTC+8 nor UTC',
    row === undefined ? null : Object.keys(row).sort(),
  );
}

async function finishWatch(deps: WatchDeps, task: BoughtTask, last: Exchange): Promise<WatchOutcome> {
  const { answers, tools, wire, signal, clock } = deps;
  const { ledger, dashscope, steps } = tools;
  const seen = await dashscope.queryTask(task.taskId, { signal });
  const done = await wire.ask(`/tasks/${task.taskId}/cancel`, { method: 'POST', signal });
  answers.give('cancel_done', outcomeOf(done), redacted(done));
  answers.give('task_zone', zoneOf(textOf(last, 'output', 'submit_time'), task.intentAtMs), redacted(last));
  if (seen.status === 'FAILED') {
    const error = steps.taskFailed(task, seen);
    await ledger.finish(task, { how: 'failed', error });
    return { kind: 'none', why: error.message };
  }
  if (seen.status === 'CANCELED') {
    await ledger.finish(task, { how: 'cancelled' });
    return { kind: 'none', why: 'the provider accepted the cancel of a running task' };
  }
  if (seen.status !== 'SUCCEEDED') return { kind: 'none', why: `the provider reports ${seen.status} for its own task` };
  const finished = steps.finishTask(task, seen, clock.now());
  await ledger.recordBill(task, finished);
  await askResult(deps, seen, last);
  return { kind: 'video', result: await archive(deps, finished) };
}

async function archive({ answers, clock, signal }: WatchDeps, task: FinishedTask): Promise<VideoResult> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await task.archive(signal);
      const { width, height, fps, duration, has_audio } = result;
      answers.give('multiple', multipleOf({ width, height }), { image: LIVE_IMAGE, video: { width, height } });
      const sound = has_audio ? 'with sound' : 'silent';
      answers.give('video', `${Math.round(fps)} fps, ${Math.round(duration)} s, ${sound}`, { fps, duration });
      const { queuedSeconds, renderingSeconds } = task;
      if (renderingSeconds !== null) answers.give('wall_time', String((queuedSeconds ?? 0) + renderingSeconds));
      return result;
    } catch (error) {
      if (!(error instanceof VideoError) || !error.retryable || attempt === ARCHIVES_MAX) throw error;
      await clock.sleep(error.retryAfterMs ?? 1_000, signal);
    }
  }
}

async function askResult({ answers, tools, signal }: WatchDeps, seen: TaskSnapshot, last: Exchange): Promise<void> {
  const prompt = seen.origPrompt;
  answers.give('orig_prompt', promptAnswer(prompt), prompt ?? null);
  const usage = 'json' in last ? member(last.json, 'usage') : undefined;
  answers.give('usage', usageText(usage), usage ?? null);
  const { videoUrl, endTimeMs } = seen;
  if (videoUrl === undefined) return;
  const url = judgeResultUrl(videoUrl, { baseUrl: tools.provider.baseUrl, allow: tools.allowPrivateUrls });
  const expires = Number(url.searchParams.get('Expires'));
  const life =
    endTimeMs === undefined || !(expires > 0) ? NOT_SEEN : `${Math.round((expires - endTimeMs / 1000) / 60)} min`;
  answers.give('link_life', life, { query: [...url.searchParams.keys()], folders: url.pathname.split('/').length - 2 });
  const links = new LiveWire('', tools.resultDispatcher, {});
  const part = await links.ask(videoUrl, { headers: { range: 'bytes=0-99' }, signal });
  const type = 'headers' in part ? part.headers['content-type'] : undefined;
  answers.give('link_range', `${part.status} ${type ?? 'without a type'}`, redacted(part));
  url.search = '';
  const unsigned = await links.ask(url.href, { signal });
  answers.give('link_unsigned', String(unsigned.status), redacted(unsigned));
}

function promptAnswer(shown: string | undefined): string {
  if (shown === undefined) return 'absent';
  if (shown === LIVE_PROMPT) return 'yes';
  if (LIVE_PROMPT.startsWith(shown) && shown.trim() !== LIVE_PROMPT.trim()) return 'truncated';
  const match = comparePrompts(LIVE_PROMPT, shown);
  return match === 'equal' ? 'except for space and composition' : match;
}

const usageText = (usage: unknown): string =>
  typeof usage === 'object' && usage !== null
    ? Object.entries(usage)
        .map(([name, value]) => `${name} ${value}`)
        .sort()
        .join(', ')
    : 'absent';

/** The zone by which the task's own time differs from ours, in whole hours. */
function zoneOf(time: string | undefined, nowMs: number): string {
  const atMs = parseProviderTime(time); // read as UTC+8
  if (atMs === undefined) return NOT_SEEN;
  const hours = 8 + Math.round((atMs - nowMs) / HOUR_MS);
  return `UTC${hours < 0 ? '' : '+'}${hours}`;
}

/** The largest common multiple that results in these sides for this image. */
function multipleOf(video: { readonly width: number; readonly height: number }): string {
  const ratio = LIVE_IMAGE.width / LIVE_IMAGE.height;
  const sides = (k: number) =>
    [Math.sqrt(PIXELS * ratio), Math.sqrt(PIXELS / ratio)].map((side) => Math.floor(side / k) * k);
  const fits = [16, 8, 4, 2].filter((k) => {
    const [width, height] = sides(k);
    return width === video.width && height === video.height;
  });
  return fits.length === 0 ? `${video.width}x${video.height}` : fits.join(' or ');
}

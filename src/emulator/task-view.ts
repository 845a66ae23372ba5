import { type Clock, DAY, formatTime, parseTime } from './clock.js';
import type { EmulatorSettings } from './settings.js';
import { type EmulatorTask, hasEnded } from './task.js';
import type { ListedTask, TaskRegistry } from './task-registry.js';
import { ApiError, type Json } from './wire.js';

/** Parameters of a request's query string. */
type QueryParameters = Readonly<Record<string, string | undefined>>;

/** Returns `output` and `usage` of a query's answer. */
export function describeTask(
  task: EmulatorTask,
  videoUrl: string,
  settings: EmulatorSettings,
): { output: Json; usage?: Json } {
  const { task_id, status, duration } = task;
  const output: Json = { task_id, task_status: status, submit_time: formatTime(task.submit_ms) };
  if (task.start_ms !== null && status !== 'PENDING') output['scheduled_time'] = formatTime(task.start_ms);
  if (hasEnded(task) && task.end_ms !== null) output['end_time'] = formatTime(task.end_ms);
  if (status === 'FAILED') Object.assign(output, task.failure);
  if (status !== 'SUCCEEDED') return { output };
  const prompt = returnedPrompt(task.prompt, settings.orig_prompt);
  if (prompt !== undefined) output['orig_prompt'] = prompt;
  output['video_url'] = videoUrl;
  const usage = {
    duration,
    input_video_duration: 0,
    output_video_duration: duration,
    video_count: 1,
    SR: task.sr,
    audio: task.audio,
  };
  return { output, usage };
}

function returnedPrompt(prompt: string, form: EmulatorSettings['orig_prompt']): string | undefined {
  const characters = [...prompt];
  switch (form) {
    case 'sent':
      return prompt;
    case 'truncated':
      return characters.slice(0, Math.floor(characters.length / 2)).join('');
    case 'rewritten':
      return `${prompt}, cinematic`;
    case 'absent':
      return undefined;
  }
}

/**
 * Returns a page of the account's tasks.
 * @throws ApiError 400 for an invalid time or number, or a window of more than 24 h.
 */
export function listTasks(
  tasks: TaskRegistry,
  query: QueryParameters,
  account: string,
  settings: EmulatorSettings,
  now: Clock,
): Json {
  const t = now() + settings.list_skew_ms;
  const time = (name: string): number | undefined => {
    const text = query[name];
    return text ? parseTime(text, settings.list_utc_offset_hours) : undefined;
  };
  const [start, end] = [time('start_time'), time('end_time')];
  const from = start ?? (end ?? t) - DAY;
  const to = end ?? (start === undefined ? t : start + DAY);
  if (to < from || to - from > DAY) {
    const message = 'The time range between start_time and end_time must be within 24 hours.';
    throw new ApiError(400, 'InvalidParameter', message);
  }
  const { task_id, model_name, status, api_key_id } = query;
  const found = tasks.list({ account, from, to, task_id, model_name, status, api_key_id });
  if (settings.list_order === 'newest') found.reverse();
  const page_no = positiveInteger(query, 'page_no', 1);
  const page_size = Math.min(positiveInteger(query, 'page_size', 10), settings.list_page_max);
  const data = found.slice((page_no - 1) * page_size, page_no * page_size).map((one) => row(one, settings));
  return { total: found.length, data, total_page: Math.ceil(found.length / page_size), page_no, page_size };
}

/** Returns a row. It has no prompt, parameters, result, usage or error; only a query's answer has them. */
function row({ task, status }: ListedTask, { list_skew_ms }: EmulatorSettings): Json {
  const { start_ms, end_ms, model } = task;
  return {
    api_key_id: task.api_key_id,
    caller_parent_id: task.account,
    caller_uid: task.account,
    gmt_create: task.submit_ms + list_skew_ms,
    model_name: model,
    region: 'cn-beijing',
    request_id: task.request_id,
    ...(status !== 'PENDING' && start_ms !== null && { start_time: start_ms + list_skew_ms }),
    ...(status !== 'PENDING' && status !== 'RUNNING' && end_ms !== null && { end_time: end_ms + list_skew_ms }),
    status,
    task_id: task.task_id,
    user_api_unique_key: `apikey:v1:aigc:video-generation:video-synthesis:${model}`,
  };
}

function positiveInteger(query: QueryParameters, name: string, fallback: number): number {
  const value = query[name] ? Number(query[name]) : fallback;
  if (!Number.isInteger(value) || value < 1) throw new ApiError(400, 'InvalidParameter', `Invalid ${name}.`);
  return value;
}

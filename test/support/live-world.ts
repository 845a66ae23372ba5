import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Emulator, type EmulatorSettings, startEmulator } from '../../src/emulator/index.js';
import type { LiveRecord } from '../../src/live-check/record.js';
import { type CommandEnd, command } from './command.js';
import { TEST_KEY } from './stack.js';

/** An emulator, a store, and the command `doctor --live` between them. */
export interface LiveWorld {
  readonly emulator: Emulator;
  readonly folder: string;
  run(...args: string[]): Promise<CommandEnd>;
  /** The records that were written, the newest last, as text. */
  records(): Promise<string[]>;
  /** Runs `doctor --live --yes` and reads what it wrote. */
  check(): Promise<LiveRecord & { readonly code: number | null; readonly text: string }>;
}

/** Starts one; it ends with the test. */
export async function liveWorld(settings: Partial<EmulatorSettings> = {}): Promise<LiveWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-live-'));
  const emulator = await startEmulator({ settings: { speed: 10, ...settings } });
  onTestFinished(async () => {
    await emulator.close();
    await rm(folder, { recursive: true, force: true });
  });
  const env = { DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl, OUTPUT_DIR: folder, DASHSCOPE_API_KEY: TEST_KEY };
  const run = (...args: string[]) => command(['doctor', ...args], { env, cwd: folder });
  const records = async () => {
    const names = (await readdir(folder)).filter((name) => name.startsWith('going-live-')).sort();
    return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  };
  const check = async () => {
    const { code, stderr } = await run('--live', '--yes', '--json');
    const text = (await records()).at(-1);
    if (text === undefined) throw new Error(`no record was written: ${stderr}`);
    return { ...(JSON.parse(text) as LiveRecord), code, text };
  };
  return { emulator, folder, run, records, check };
}

/** The answers of a record by question, without the measured ones. */
export const behaviourOf = ({ answers }: Pick<LiveRecord, 'answers'>): Record<string, string> =>
  Object.fromEntries(answers.filter(({ kind }) => kind === 'behaviour').map(({ id, answer }) => [id, answer]));

/** What an emulator answers as it starts, in the order of the questions; an account with one task has no order. */
export const EXPECTED_OF_EMULATOR: Readonly<Record<string, string>> = {
  unknown_task: '200 UNKNOWN',
  malformed_task: '200 UNKNOWN',
  cancel_unknown: '400 UnsupportedOperation',
  refused_key: '200 UNKNOWN', // it accepts every key unless a setting names one
  list: 'yes',
  list_page: '100 of 500 requested',
  upload_policy: '300 s, 100 MB',
  no_async: '403 AccessDenied at the submit',
  unknown_model: '404 ModelNotFound at the submit',
  missing_image: '400 InvalidParameter at the submit',
  all_faults: 'yes',
  undocumented: 'no',
  damaged_image: '400 InvalidParameter at the submit',
  large_body: 'yes',
  throttle: '429 Throttling.RateQuota, no Retry-After',
  rate_headers: 'none',
  accepted: 'yes',
  list_lag: 'yes',
  list_order: 'not seen',
  list_zone: 'UTC+8',
  cancel_running: '400 UnsupportedOperation',
  task_zone: 'UTC+8',
  orig_prompt: 'yes',
  usage: 'SR 720, audio false, duration 2, input_video_duration 0, output_video_duration 2, video_count 1',
  cancel_done: '400 UnsupportedOperation',
  link_life: '1440 min',
  link_range: '206 video/mp4',
  link_unsigned: '403',
  multiple: '2',
  video: '30 fps, 2 s, silent',
};

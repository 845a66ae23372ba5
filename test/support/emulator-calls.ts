import { onTestFinished } from 'vitest';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js';
import { writePng } from './clip-pictures.js';

// biome-ignore lint/suspicious/noExplicitAny: wire answers are read as plain JSON
export type Wire = any;

export const MODEL = 'wan2.6-i2v-flash';

/** Where test clocks start. */
export const START = Date.UTC(2026, 0, 22, 15, 24, 46, 527);

/** Time that only moves when the test moves it. */
export interface TestClock {
  ms: number;
}

/** Starts an emulator for one test, on the test's own clock. */
export async function startOnClock(options: EmulatorOptions = {}): Promise<{ emulator: Emulator; clock: TestClock }> {
  const clock: TestClock = { ms: START };
  const emulator = await startEmulator({ now: () => clock.ms, ...options });
  onTestFinished(() => emulator.close());
  return { emulator, clock };
}

/** What a call sends in addition to its path. */
export interface Call {
  method?: string;
  body?: unknown;
  headers?: Record<string, string>;
  key?: string;
}

/** Calls a path below the provider's base; rejects when the answer is not JSON. */
export async function call(
  emulator: Emulator,
  path: string,
  options: Call = {},
): Promise<{ status: number; body: Wire; headers: Headers }> {
  const response = await request(emulator, path, options);
  return { status: response.status, body: await response.json(), headers: response.headers };
}

/** Like {@link call}, with the unparsed response. */
export function request(emulator: Emulator, path: string, options: Call = {}): Promise<Response> {
  return fetch(emulator.baseUrl + path, {
    method: options.method ?? 'GET',
    headers: { authorization: `Bearer ${options.key ?? 'sk-test'}`, ...options.headers },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
}

const SUBMIT_PATH = '/services/aigc/video-generation/video-synthesis';

function submission(input: Wire, parameters: Wire, options: Call): Call {
  return {
    method: 'POST',
    ...options,
    body: {
      model: MODEL,
      input: { prompt: 'a cat', img_url: 'https://example.com/a.png', ...input },
      parameters: { resolution: '720P', duration: 2, ...parameters },
    },
    headers: { 'content-type': 'application/json', 'x-dashscope-async': 'enable', ...options.headers },
  };
}

/** Submits 2 s at 720P with what the test changes. */
export function submit(emulator: Emulator, input: Wire = {}, parameters: Wire = {}, options: Call = {}) {
  return call(emulator, SUBMIT_PATH, submission(input, parameters, options));
}

/** Like {@link submit}, with the unparsed response. */
export function submitRaw(emulator: Emulator, input: Wire = {}, parameters: Wire = {}): Promise<Response> {
  return request(emulator, SUBMIT_PATH, submission(input, parameters, {}));
}

/** Calls the control interface; with a body as a POST. */
export async function control(
  emulator: Emulator,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Wire }> {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const response = await fetch(`${emulator.origin}/_emulator/${path}`, init);
  return { status: response.status, body: await response.json() };
}

/** A black PNG. */
export const png = (width: number, height: number): Buffer =>
  writePng({ width, height, channels: 3, data: Buffer.alloc(width * height * 3) });

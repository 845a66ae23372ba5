import { expect } from 'vitest';
import type { Emulator } from '../../src/emulator/index.js';
import { call, submit } from './emulator-calls.js';
import { type EmulatorProcess, startEmulatorProcess } from './emulator-process.js';

/** An emulator process whose clips show the caller's picture, asked as a client asks the provider. */
export interface PictureEmulator {
  readonly process: EmulatorProcess;
  /** Where it is now; another place after it was started again. */
  calls(): Emulator;
  /** Buys a clip and waits for its end. */
  result(
    imgUrl: string,
    parameters?: object,
    headers?: Record<string, string>,
  ): Promise<{ readonly id: string; readonly url: string }>;
}

export async function startPictureEmulator(stateFile: string): Promise<PictureEmulator> {
  const settings = { clip: 'picture', speed: 1000, submit_rate: 0, query_rate: 0 } as const;
  const emulator = await startEmulatorProcess(stateFile, settings);
  const calls = () => ({ origin: emulator.origin, baseUrl: emulator.baseUrl }) as Emulator;
  const output = async (id: string) => (await call(calls(), `/tasks/${id}`)).body.output;
  return {
    process: emulator,
    calls,
    async result(img_url, parameters = {}, headers = {}) {
      const { body } = await submit(calls(), { img_url }, { audio: false, ...parameters }, { headers });
      const id: string = body.output.task_id;
      await expect.poll(async () => (await output(id)).task_status, { timeout: 10_000 }).toBe('SUCCEEDED');
      return { id, url: (await output(id)).video_url };
    },
  };
}

/** The bytes behind a link. */
export const download = async (url: string): Promise<Uint8Array> =>
  new Uint8Array(await (await fetch(url)).arrayBuffer());

/** A picture as a request may carry it. */
export const dataUri = (bytes: Buffer, type = 'png'): string => `data:image/${type};base64,${bytes.toString('base64')}`;

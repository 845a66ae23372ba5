import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../../src/dev/temporal-server.js';
import type { EmulatorFault, EmulatorSettings, EmulatorState } from '../../src/emulator/index.js';
import { ROOT } from './stack.js';

/** The emulator as a process of its own, which can be killed and comes back with its tasks. */
export interface EmulatorProcess {
  readonly origin: string;
  readonly baseUrl: string;
  state(): Promise<EmulatorState>;
  changeSettings(change: Partial<EmulatorSettings>): Promise<void>;
  queueFaults(faults: EmulatorFault | EmulatorFault[]): Promise<void>;
  queuedFaults(): Promise<EmulatorFault[]>;
  /** Kills it with SIGKILL and waits until it is gone. */
  kill(): Promise<void>;
  /** Starts it again at the same port, with its tasks and the settings that were made; faults are gone. */
  start(): Promise<void>;
}

/** Starts one whose tasks live in `stateFile`. */
export async function startEmulatorProcess(
  stateFile: string,
  settings: Partial<EmulatorSettings>,
): Promise<EmulatorProcess> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const made: Partial<EmulatorSettings> = { ...settings };
  let child: ChildProcess | undefined;
  const killWithUs = () => void child?.kill('SIGKILL');
  process.once('exit', killWithUs);
  const control = async <T>(path: string, body?: unknown): Promise<T> => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(`${origin}/_emulator/${path}`, init);
    const answer = await response.json();
    if (!response.ok) throw new Error(`the emulator refuses ${path}: ${JSON.stringify(answer)}`);
    return answer as T;
  };
  const start = async () => {
    const script = join(ROOT, 'test', 'support', 'emulator-process.mjs');
    const options = JSON.stringify({ port, stateFile, settings: made });
    const started = spawn(process.execPath, [script, join(ROOT, 'dist'), options], {
      env: { PATH: process.env['PATH'] },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = started;
    const ended = once(started, 'exit').then(([code]) => {
      throw new Error(`the emulator ended with ${code} before it was ready`);
    });
    await Promise.race([once(createInterface({ input: started.stdout }), 'line'), ended]);
    ended.catch(() => undefined);
  };
  await start();
  return {
    origin,
    baseUrl: `${origin}/api/v1`,
    state: () => control('state'),
    async changeSettings(change) {
      Object.assign(made, change);
      await control('settings', change);
    },
    queueFaults: (faults) => control('faults', faults),
    queuedFaults: async () => (await control<{ queued: EmulatorFault[] }>('faults')).queued,
    async kill() {
      const ending = child;
      if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
      const ended = once(ending, 'exit');
      ending.kill('SIGKILL');
      await ended;
    },
    start,
  };
}

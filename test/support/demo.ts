import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { connectClient } from '../../src/client/connect.js';
import { stopEmbeddedTemporal } from '../../src/dev/embedded-temporal.js';
import { freePort } from '../../src/dev/temporal-server.js';
import { type EmulatorState, startEmulator } from '../../src/emulator/index.js';
import { ROOT } from './stack.js';

/** One run as Temporal knows it. */
interface SeenRun {
  readonly workflowId: string;
  readonly runId: string;
  readonly status: string;
  readonly historyLength: number;
}

/** A demo as a process. */
interface DemoProcess {
  readonly process: ChildProcess;
  /** Everything on stderr and on stdout so far. */
  readonly output: { said: string; printed: string };
  /** Waits for a line on stderr; fails at once when the process ends without it. */
  says(line: RegExp): Promise<void>;
  exit(): Promise<number | null>;
}

/** Demos that share one folder of their own for state and output. */
export interface DemoFolder {
  readonly folder: string;
  /** State of the demo on the emulator. */
  readonly state: string;
  start(args?: string[], env?: NodeJS.ProcessEnv): DemoProcess;
  /** Process id of the demo at work. */
  pid(): Promise<number>;
  address(): Promise<string>;
  runs(): Promise<SeenRun[]>;
  /** What the demo's emulator has seen, from the file that its tasks survive in; between two demos only. */
  emulator(): Promise<EmulatorState>;
  close(): Promise<void>;
}

/**
 * Prepares a folder, and an environment whose Temporal, provider, store and proxy lead nowhere: who touches them fails.
 */
export async function demoFolder(): Promise<DemoFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-demo-'));
  const state = join(folder, 'demo');
  const nowhere = `127.0.0.1:${await freePort()}`;
  const proxy = `http://${nowhere}`;
  const poisoned: NodeJS.ProcessEnv = {
    ...process.env,
    OUTPUT_DIR: join(folder, 'output'),
    INIT_CWD: folder,
    TEMPORAL_ADDRESS: nowhere,
    TEMPORAL_NAMESPACE: 'elsewhere',
    TEMPORAL_API_KEY: 'not-for-us',
    TEMPORAL_TLS: 'true',
    DASHSCOPE_HTTP_BASE_URL: `${proxy}/api/v1`,
    DASHSCOPE_API_KEY: 'sk-not-for-the-demo',
    WAN_VIDEO_TASK_QUEUE: 'elsewhere',
    ASSET_STORE: 's3://elsewhere/bucket',
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: '',
    no_proxy: '',
  };
  const started: ChildProcess[] = [];
  const address = async (): Promise<string> =>
    (JSON.parse(await readFile(join(state, 'temporal.json'), 'utf8')) as { address: string }).address;
  return {
    folder,
    state,
    address,
    start(args = [], env = {}) {
      const command = [join(ROOT, 'scripts', 'run.mjs'), 'demo', '--state', folder, ...args];
      const running = spawn(process.execPath, command, {
        env: { ...poisoned, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      started.push(running);
      const output = { said: '', printed: '' };
      running.stderr.on('data', (chunk) => {
        output.said += String(chunk);
      });
      running.stdout.on('data', (chunk) => {
        output.printed += String(chunk);
      });
      const closed = once(running, 'close').then(() => 'closed');
      return {
        process: running,
        output,
        async says(line) {
          while (!line.test(output.said)) {
            if ((await Promise.race([once(running.stderr, 'data'), closed])) === 'closed') {
              expect(output.said).toMatch(line);
              return;
            }
          }
        },
        async exit() {
          await closed;
          return running.exitCode;
        },
      };
    },
    pid: async () => Number(await readFile(join(state, 'lock'), 'utf8')),
    async runs() {
      const client = await connectClient({ namespace: 'default', connection: { address: await address() } });
      try {
        const found: SeenRun[] = [];
        for await (const { workflowId, runId, status, historyLength } of client.workflow.list({
          query: 'WorkflowType = "videoGenerate"',
        }))
          found.push({ workflowId, runId, status: status.name, historyLength });
        return found;
      } finally {
        await client.connection.close();
      }
    },
    async emulator() {
      const emulator = await startEmulator({ stateFile: join(state, 'emulator.json') });
      try {
        return emulator.state();
      } finally {
        await emulator.close();
      }
    },
    async close() {
      for (const one of started) if (one.exitCode === null && one.signalCode === null) one.kill('SIGKILL');
      await stopEmbeddedTemporal(state);
      await stopEmbeddedTemporal(join(folder, 'demo-live'));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The path in a demo's `file` line. */
export const fileOf = (printed: string): string => /^file {6}(.*)$/m.exec(printed)?.[1] ?? '';

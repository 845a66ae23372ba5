import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectClient } from '../../src/client/connect.js';
import { stopEmbeddedTemporal } from '../../src/dev/embedded-temporal.js';
import { freePort, namespaceIdOf } from '../../src/dev/temporal-server.js';
import { startEmulator } from '../../src/emulator/index.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RUN = join(ROOT, 'scripts', 'run.mjs');

let folder: string;
let state: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-demo-'));
  state = join(folder, 'demo');
  // Whatever is configured for some other Temporal or provider leads nowhere: a demo that touched it would fail.
  const nowhere = `127.0.0.1:${await freePort()}`;
  env = {
    ...process.env,
    OUTPUT_DIR: join(folder, 'output'),
    TEMPORAL_ADDRESS: nowhere,
    TEMPORAL_NAMESPACE: 'elsewhere',
    TEMPORAL_API_KEY: 'not-for-the-demo',
    TEMPORAL_TLS: 'true',
    DASHSCOPE_HTTP_BASE_URL: `http://${nowhere}/api/v1`,
    DASHSCOPE_API_KEY: 'sk-not-for-the-demo',
    WAN_VIDEO_TASK_QUEUE: 'elsewhere',
    ASSET_STORE: 's3://elsewhere/bucket',
    HTTP_PROXY: `http://${nowhere}`,
    HTTPS_PROXY: `http://${nowhere}`,
    http_proxy: `http://${nowhere}`,
    https_proxy: `http://${nowhere}`,
    NO_PROXY: '',
    no_proxy: '',
    INIT_CWD: folder,
  };
});

const started: ChildProcess[] = [];
afterAll(async () => {
  for (const process of started) if (process.exitCode === null) process.kill('SIGKILL');
  await stopEmbeddedTemporal(state);
  await rm(folder, { recursive: true, force: true });
});

/** A demo as a process; `said` collects stderr. */
function demo(args: string[], over: NodeJS.ProcessEnv = {}) {
  const running = spawn(process.execPath, [RUN, 'demo', '--state', folder, ...args], {
    env: { ...env, ...over },
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
  return {
    output,
    process: running,
    /** Waits for a line on stderr that matches; fails at once when the process ends without it. */
    async says(line: RegExp): Promise<void> {
      while (!line.test(output.said)) {
        const what = await Promise.race([once(running.stderr, 'data'), once(running, 'close').then(() => 'closed')]);
        if (what === 'closed') expect(output.said).toMatch(line);
      }
    },
    async exit(): Promise<number | null> {
      if (running.exitCode === null && running.signalCode === null) await once(running, 'close');
      return running.exitCode;
    },
  };
}

/** Runs of the demo's Temporal, oldest first, with what their history shows. */
async function runs() {
  const { address } = JSON.parse(await readFile(join(state, 'temporal.json'), 'utf8')) as { address: string };
  const client = await connectClient({ namespace: 'default', connection: { address } });
  try {
    const found = [];
    for await (const { workflowId, runId, status, startTime, historyLength } of client.workflow.list()) {
      found.push({ workflowId, runId, status: status.name, startTime, historyLength });
    }
    return found.sort((a, b) => a.startTime.getTime() - b.startTime.getTime());
  } finally {
    await client.connection.close();
  }
}

/** What the emulator of the demo has seen, from the file that its tasks survive in. */
async function seenByEmulator() {
  const emulator = await startEmulator({ stateFile: join(state, 'emulator.json') });
  try {
    return emulator.state();
  } finally {
    await emulator.close();
  }
}

const fileOf = (printed: string) => /^file {6}(.*)$/m.exec(printed)?.[1] ?? '';

test('a demo that was killed in mid-poll goes on with the same run and the same task when it is started again', async () => {
  const first = demo([]);
  await first.says(/^rendering/m);
  process.kill(Number(await readFile(join(state, 'lock'), 'utf8')), 'SIGKILL');
  expect(await first.exit()).toBe(128 + 9);
  const [before] = await runs();

  const second = demo([]);
  expect(await second.exit(), second.output.said).toBe(0);
  expect(second.output.said).toContain('An interrupted generation was found; it goes on in a few seconds.');
  expect(second.output.printed).toContain('measured  4 s, 30 fps, 1280x720, silent');
  expect(second.output.printed).toMatch(
    /^Web UI {4}http:\/\/127\.0\.0\.1:\d+\/namespaces\/default\/workflows\/video%2F/m,
  );
  expect(fileOf(second.output.printed)).toContain(join(folder, 'output', 'ai-video-wan-video', 'videos'));
  expect((await readFile(fileOf(second.output.printed))).subarray(4, 8).toString('latin1')).toBe('ftyp');

  const after = await runs();
  expect(after.map(({ runId, status }) => [runId, status])).toEqual([[before?.runId, 'COMPLETED']]);
  expect(after[0]?.historyLength).toBeLessThanOrEqual(50);
  expect((await seenByEmulator()).submits).toBe(1);
});

test('a second run is answered from the cache and says so', async () => {
  const again = demo([]);
  expect(await again.exit(), again.output.said).toBe(0);
  expect(again.output.printed).toContain('from the cache');
  expect((await seenByEmulator()).submits).toBe(1);
});

test('an own picture is taken relative to the caller, and --keep-open stays until it is interrupted', async () => {
  await copyFile(join(ROOT, 'assets', 'sample.jpg'), join(folder, 'mine.jpg'));
  const own = demo(['--image', 'mine.jpg', '--prompt', 'clouds move', '--keep-open']);
  await own.says(/Worker and emulator stay until Ctrl-C/);
  expect(own.output.printed).toContain('source    generated');
  own.process.kill('SIGINT');
  expect(await own.exit(), own.output.said).toBe(0);
});

test('--stop ends the Temporal that stayed up', async () => {
  const { address } = JSON.parse(await readFile(join(state, 'temporal.json'), 'utf8')) as { address: string };
  await namespaceIdOf(address);
  const stop = demo(['--stop']);
  expect(await stop.exit(), stop.output.said).toBe(0);
  await expect(namespaceIdOf(address)).rejects.toThrow();
});

test.each([
  {
    args: ['--live'],
    over: {},
    code: 2,
    says: /4 × |not known here[\s\S]*give --yes to buy/,
    why: 'no terminal to ask on',
  },
  {
    args: ['--live', '--yes'],
    over: { DASHSCOPE_API_KEY: '', HOME: '/nonexistent' },
    code: 3,
    says: /DASHSCOPE_API_KEY/,
    why: 'no key is configured',
  },
  { args: ['--image'], over: {}, code: 2, says: /--keep-open/, why: 'an option lacks its value' },
])('a demo with $args ends with exit code $code because $why', async ({ args, over, code, says }) => {
  const refused = demo(args, over);
  expect(await refused.exit()).toBe(code);
  expect(refused.output.said).toMatch(says);
});

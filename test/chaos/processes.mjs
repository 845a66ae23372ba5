import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const READY_MS = 60_000;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Everything that was started; none of it outlives this process. */
const children = new Set();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

function start(file, args, env, stdio) {
  const child = spawn(file, args, { env: { PATH: process.env.PATH, ...env }, stdio });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Ends a process, also a frozen one, and waits until it is gone. */
export async function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

export const endAll = () => Promise.all([...children].map((child) => end(child, 'SIGKILL')));

/** Starts a worker process of the given build and waits until it polls. */
export async function startWorker(dist, times, env) {
  const child = start(process.execPath, [here('worker.mjs'), dist, JSON.stringify({ times })], env, [
    ...['ignore', 'pipe', 'inherit'],
  ]);
  await ready(child, 'a worker');
  return child;
}

/** Runs a command of the given build to its end. */
export async function runCommand(dist, args, env) {
  const child = start(process.execPath, [join(dist, 'src/cli/main.js'), ...args], env, ['ignore', 'pipe', 'inherit']);
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return { code, stdout };
}

/** Starts the emulator in a process of its own; its state is the judge's evidence, and outlives a restart. */
export async function startEmulator(dist, port, stateFile, settings) {
  const origin = `http://127.0.0.1:${port}`;
  const launch = async (made) => {
    const options = JSON.stringify({ port, stateFile, settings: made });
    const started = start(process.execPath, [here('../support/emulator-process.mjs'), dist, options], {}, [
      ...['ignore', 'pipe', 'inherit'],
    ]);
    await ready(started, 'the emulator');
    return started;
  };
  const control = async (path, body) => {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const response = await answered(`${origin}/_emulator/${path}`, init);
    const answer = await response.json();
    if (!response.ok) throw new Error(`the emulator refuses ${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  let child = await launch(settings);
  return {
    /** Drops faults that were to hit a few requests and met too few; those that hit every request stay. */
    async dropLeftFaults() {
      const { queued } = await control('faults');
      const response = await answered(`${origin}/_emulator/faults`, { method: 'DELETE' });
      await response.arrayBuffer();
      const lasting = queued.filter(({ times }) => times === null);
      if (lasting.length > 0) await control('faults', lasting);
      return queued.length - lasting.length;
    },
    origin,
    baseUrl: `${origin}/api/v1`,
    control,
    /** Kills it and starts it again with its tasks, its settings and the faults that were still to come. */
    async restart() {
      const [{ queued }, made] = [await control('faults'), await control('settings')];
      await end(child, 'SIGKILL');
      child = await launch(made);
      if (queued.length > 0) await control('faults', queued);
    },
  };
}

/** Asks again while nobody listens: it is being started again. */
async function answered(url, init) {
  for (const untilMs = Date.now() + READY_MS; ; await delay(100)) {
    try {
      return await fetch(url, init);
    } catch (error) {
      if (Date.now() > untilMs) throw error;
    }
  }
}

/** Starts versitygw with a fresh bucket; its address and keys as the AWS SDK reads them. */
export async function startS3(folder, port) {
  const cached = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'wan-video-temporal');
  const places = [
    ...(process.env.VERSITYGW === undefined ? [] : [process.env.VERSITYGW]),
    ...(process.env.PATH ?? '').split(delimiter).map((path) => join(path, 'versitygw')),
    join(cached, 'versitygw-v1.8.0', 'versitygw'),
  ];
  const binary = places.find((path) => existsSync(path));
  if (binary === undefined) throw new Error('--store s3 needs versitygw: run scripts/parts/versitygw.sh');
  const [data, meta] = [join(folder, 'data'), join(folder, 'meta')];
  await mkdir(join(data, 'chaos'), { recursive: true });
  await mkdir(meta, { recursive: true });
  const keys = { AWS_ACCESS_KEY_ID: 'chaos-access-key', AWS_SECRET_ACCESS_KEY: 'chaos-secret-key' };
  const args = ['--quiet', '--port', `127.0.0.1:${port}`, '--health', '/health', 'posix', '--sidecar', meta, data];
  const env = { ROOT_ACCESS_KEY: keys.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: keys.AWS_SECRET_ACCESS_KEY };
  const child = start(binary, args, env, 'ignore');
  const origin = `http://127.0.0.1:${port}`;
  await answering(child, `${origin}/health`);
  return {
    ...keys,
    AWS_ENDPOINT_URL_S3: origin,
    AWS_REGION: 'us-east-1',
    ASSET_STORE: 's3://chaos/store',
  };
}

/** Waits for the line that a process of ours prints when it is ready. */
async function ready(child, name) {
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${name} ended before it was ready (${signal ?? code})`);
  });
  await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended]);
  ended.catch(() => undefined);
}

async function answering(child, url) {
  for (const untilMs = Date.now() + READY_MS; ; await delay(50)) {
    if (child.exitCode !== null) throw new Error(`${url} ended with ${child.exitCode}`);
    const ready = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return;
    if (Date.now() > untilMs) throw new Error(`${url} did not answer within ${READY_MS / 1000} s`);
  }
}

import { randomBytes } from 'node:crypto';
import { access, mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type FollowedProgress, followVideo } from '../client/follow.js';
import { WanVideoClient } from '../client/video-client.js';
import { loadConfig } from '../config/config.js';
import { resolveApiKey } from '../config/credentials.js';
import { CNY_PER_SECOND, LIST_PRICES } from '../config/prices.js';
import { QUICK_START } from '../contract/model.js';
import type { VideoResult } from '../contract/result.js';
import { stageImageFile } from '../media/stage-image.js';
import { openStore } from '../storage/open-store.js';
import { ExitCode } from '../text/exit-code.js';
import { progressLine } from '../text/progress-line.js';
import { errorText, exitCodeOf, resultText } from '../text/result.js';
import { installLogger } from '../worker/logger.js';
import { lockDirectory } from './directory-lock.js';
import { stopEmbeddedTemporal } from './embedded-temporal.js';
import { aborted, type LocalStack, startLocalStack } from './local-stack.js';
import { loseReplies, purchaseComparison } from './lost-reply.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SAMPLE = join(ROOT, 'assets', 'sample.jpg');
const PROMPT = 'the boat drifts slowly over the calm lake, ripples in the water';
/** A 4 s video renders some 25 s at the provider; at this speed about three, long enough to watch. */
const SPEED = 8;
/**
 * The demo's emulator is a provider of its own: that of `wan-video dev` knows none of its tasks and renders at another speed, and both
 * may use one store. So the demo's purchases and learned render times are kept apart, as those of two accounts are.
 */
const ACCOUNT = 'demo';

const HELP = `npm run demo [-- OPTIONS]: one durable generation on this machine

  --image FILE   your own picture (default: assets/sample.jpg)
  --prompt TEXT  what shall move
  --lost-reply   loses the reply to a submit: what this project buys, beside a client that simply tries again
  --keep-open    keep worker and emulator running until Ctrl-C
  --live         buy the video from the configured provider instead of the emulator; names the price and asks
  --yes          with --live: do not ask
  --stop         end the demo's Temporal, which otherwise stays up for its Web UI
  --help         this text

State lies in .wan-video/, the video under output/ai-video-wan-video/ (or OUTPUT_DIR).
`;

const OPTIONS = {
  help: { type: 'boolean' },
  image: { type: 'string' },
  'keep-open': { type: 'boolean' },
  live: { type: 'boolean' },
  'lost-reply': { type: 'boolean' },
  prompt: { type: 'string' },
  /** Another place for the state; for tests. */
  state: { type: 'string' },
  stop: { type: 'boolean' },
  yes: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

const say = (line: string): void => void process.stderr.write(`${line}\n`);
/** `npm run` changes the directory; paths are meant from where it was typed. */
const fromCaller = (path: string): string => resolve(process.env['INIT_CWD'] ?? process.cwd(), path);

async function main(): Promise<number> {
  let values: Values;
  try {
    ({ values } = parseArgs({ options: OPTIONS }));
  } catch (error) {
    say(`${(error as Error).message}\n\n${HELP}`);
    return ExitCode.invalid;
  }
  if (values.help) {
    process.stdout.write(HELP);
    return ExitCode.done;
  }
  if (values.live && values['lost-reply']) {
    say('--lost-reply loses the reply at the emulator; leave out --live.');
    return ExitCode.invalid;
  }
  const image = values.image === undefined ? SAMPLE : fromCaller(values.image);
  if (
    await access(image).then(
      () => false,
      () => true,
    )
  ) {
    say(`There is no picture at ${image}; give --image the path of a JPEG, PNG, BMP or WEBP file.`);
    return ExitCode.invalid;
  }
  // Apart from the emulated demo: a live worker must never meet a run that was started for the emulator.
  const name = values.live ? 'demo-live' : 'demo';
  const directory = join(values.state === undefined ? join(ROOT, '.wan-video') : fromCaller(values.state), name);
  await mkdir(directory, { recursive: true });
  if (values.live && !values.stop && !(await agreed(values.yes === true))) return ExitCode.invalid;
  const unlock = await lockDirectory(directory, (pid) =>
    say(`Another demo (process ${pid}) is at work; waiting until it ends …`),
  );
  try {
    return values.stop ? await stop(directory) : await demo(directory, image, values);
  } finally {
    await unlock();
  }
}

async function stop(directory: string): Promise<number> {
  say((await stopEmbeddedTemporal(directory)) ? 'The demo’s Temporal is stopped.' : 'No Temporal of the demo is up.');
  return ExitCode.done;
}

/** One durable generation, or the scene of the lost reply: own Temporal, a provider, a worker, a video. */
async function demo(directory: string, image: string, values: Values): Promise<number> {
  installLogger({ level: 'error', format: 'pretty' });
  const interrupt = new AbortController();
  const stack = await startLocalStack({
    directory,
    env: storeAndProvider(values.live === true),
    where: { cwd: ROOT, homeDir: homedir() },
    live: values.live === true,
    speed: SPEED,
    say,
  });
  const onSignal = (): void => interrupt.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const prompt = values.prompt ?? PROMPT;
    const { signal } = interrupt;
    const scene = values['lost-reply'] ? lostReply(stack, image, prompt, signal) : alone(stack, image, prompt, signal);
    const code = await Promise.race([scene, workerEnd(stack, signal)]).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    if (code === undefined) {
      say('Interrupted. The generation is kept: run the demo again, and it goes on.');
      return ExitCode.cancelled;
    }
    say(`Temporal stays up for its Web UI; "npm run demo -- ${values.live ? '--live ' : ''}--stop" ends it.`);
    if (values['keep-open']) {
      say('Worker and emulator stay until Ctrl-C.');
      await Promise.race([stack.worker, aborted(interrupt.signal)]);
    }
    return code;
  } finally {
    await stack.close();
  }
}

/** The demo itself: one generation, and what came of it on stdout. */
async function alone(stack: LocalStack, image: string, prompt: string, signal: AbortSignal): Promise<number> {
  const { result, webUi } = await generate(stack, image, prompt, signal);
  const file = result.video_url.startsWith('file:') ? fileURLToPath(result.video_url) : result.video_url;
  process.stdout.write(`${resultText(result)}\nfile      ${file}\nWeb UI    ${webUi}\n`);
  return ExitCode.done;
}

/** The scene of the lost reply: done only if this project has bought exactly once. */
async function lostReply(stack: LocalStack, image: string, prompt: string, signal: AbortSignal): Promise<number> {
  if (stack.emulator === undefined) throw new Error('only the emulator can lose a reply');
  const { ours, retrying } = await loseReplies({
    emulator: stack.emulator,
    // Words of this one time: an equal earlier scene would be answered from the cache, and its reply could not be lost.
    prompt: `${prompt}, take ${randomBytes(3).toString('hex')}`,
    image,
    durationSeconds: QUICK_START.duration,
    generate: async (words) => (await generate(stack, image, words, signal)).result,
    say,
    signal,
  });
  const price = (seconds: number): string => `CNY ${(seconds * CNY_PER_SECOND).toFixed(2)}`;
  say('\nThe provider’s books, read from the emulator’s state:');
  process.stdout.write(`${purchaseComparison(ours, retrying, price)}\n`);
  if (!ours.lost || !retrying.lost) say('A reply that was to be lost was not: this shows nothing.');
  return ours.purchases === 1 && ours.lost && retrying.lost ? ExitCode.done : ExitCode.failed;
}

/** Starts or joins the generation, and shows its progress. */
async function generate(
  stack: LocalStack,
  image: string,
  prompt: string,
  signal: AbortSignal,
): Promise<{ result: VideoResult; webUi: string }> {
  const { client, config, temporal } = stack;
  const staged = await stageImageFile(image, openStore(config.store, config.proxies));
  const videos = new WanVideoClient({ client, taskQueue: config.taskQueues.generate });
  const started = await videos.start({ ...QUICK_START, prompt, reference_image: `asset:${staged.asset.key}` });
  const webUi = `${temporal.uiUrl}/namespaces/default/workflows/${encodeURIComponent(started.id)}`;
  say(
    started.joined
      ? 'An interrupted generation was found; it goes on in a few seconds.'
      : 'A run has started; what was bought before is answered from the cache.',
  );
  say(`Web UI    ${webUi}`);
  const line = progressLine(process.stderr, process.env);
  const show = (progress: FollowedProgress): void => line.show(progress, Date.now());
  const result = await followVideo(videos, started.id, show, { signal }).finally(() => line.end());
  return { result, webUi };
}

/** A worker that ends by itself is a failure; without one, following would wait for ever. */
async function workerEnd({ worker }: LocalStack, interrupt: AbortSignal): Promise<undefined> {
  await worker;
  if (!interrupt.aborted) throw new Error('the worker ended by itself');
  return undefined;
}

/** From the environment only the store; a live demo also takes the configured provider. Temporal's part is never read. */
function storeAndProvider(live: boolean): NodeJS.ProcessEnv {
  const { OUTPUT_DIR: outputDir } = process.env;
  const store = outputDir ? { OUTPUT_DIR: fromCaller(outputDir) } : {};
  return live ? { ...process.env, ...store } : { ...store, WAN_VIDEO_ACCOUNT: ACCOUNT };
}

/** Names the price of a live demo and asks. */
async function agreed(yes: boolean): Promise<boolean> {
  const where = { cwd: ROOT, homeDir: homedir() };
  const { provider } = loadConfig(process.env, where);
  const key = await resolveApiKey(process.env, where);
  const list = LIST_PRICES[provider.providerId];
  const price =
    list === undefined
      ? 'at a price that is not known here (see the provider’s price page)'
      : `for about ${QUICK_START.duration} × ${list.currency} ${list.perSecond} (list price; the provider’s price page binds)`;
  say(`This buys ${QUICK_START.duration} seconds of silent video at 720P, ${price}.`);
  say(
    `Provider  ${provider.baseUrl}, key from ${key.source}. The same request again is answered from the cache, free.`,
  );
  if (yes) return true;
  if (!process.stdin.isTTY) {
    say('There is no terminal to ask on: give --yes to buy.');
    return false;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question('Buy it? [y/N] ').finally(() => terminal.close());
  return /^y(es)?$/i.test(answer.trim());
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(errorText(error));
    process.exit(exitCodeOf(error));
  },
);

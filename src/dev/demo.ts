import { randomBytes } from 'node:crypto';
import { access, mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { aborted } from '../async/aborted.js';
import { type FollowedProgress, followVideo } from '../client/follow.js';
import { WanVideoClient } from '../client/video-client.js';
import { loadConfig } from '../config/config.js';
import { resolveApiKey } from '../config/credentials.js';
import { CNY_PER_SECOND, LIST_PRICES } from '../config/prices.js';
import { QUICK_START } from '../contract/model.js';
import type { VideoResult } from '../contract/result.js';
import { stageImage } from '../media/stage-image.js';
import { openStore } from '../storage/open-store.js';
import { confirm } from '../text/confirm.js';
import { ExitCode } from '../text/exit-code.js';
import { progressLine } from '../text/progress-line.js';
import { errorText, exitCodeOf, resultText } from '../text/result.js';
import { installLogger } from '../worker/logger.js';
import { lockDirectory } from './directory-lock.js';
import { stopEmbeddedTemporal } from './embedded-temporal.js';
import { type LocalStack, startLocalStack } from './local-stack.js';
import { loseReplies, purchaseComparison } from './lost-reply.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const SAMPLE = join(ROOT, 'assets', 'sample.jpg');
const PROMPT = 'the boat drifts slowly over the calm lake, ripples in the water';
/** A 4 s video renders some 25 s at the provider, and at this speed about three, which is long enough to watch. */
const SPEED = 8;
/**
 * The demo's emulator and the one of `wan-video dev` know none of each other's tasks and render at different speeds,
 * but may share a store. With an account of its own, the demo keeps its purchases and learned render times apart.
 */
const ACCOUNT = 'demo';

const HELP = `npm run demo [-- OPTIONS]: one durable generation on this machine

  --image FILE   your own picture (default: assets/sample.jpg)
  --prompt TEXT  the motion you want
  --lost-reply   lose the reply to a submit, and compare what this project buys with a client that simply tries again
  --keep-open    keep worker and emulator running until Ctrl-C
  --live         buy the video from the configured provider instead of the emulator; shows the price and asks
  --yes          with --live: do not ask
  --stop         stop the demo's Temporal, which otherwise keeps running for its Web UI
  --help         show this text

State is kept in .wan-video/, the video under output/ai-video-wan-video/ (or OUTPUT_DIR).
`;

const OPTIONS = {
  help: { type: 'boolean' },
  image: { type: 'string' },
  'keep-open': { type: 'boolean' },
  live: { type: 'boolean' },
  'lost-reply': { type: 'boolean' },
  prompt: { type: 'string' },
  /** Another folder for the state; for tests. */
  state: { type: 'string' },
  stop: { type: 'boolean' },
  yes: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

const say = (line: string): void => void process.stderr.write(`${line}\n`);
/** `npm run` changes the directory; paths are relative to the directory in which it was typed. */
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
    say(`There is no picture at ${image}; give --image the path of a JPEG, PNG or other picture.`);
    return ExitCode.invalid;
  }
  // Separate from the emulated demo: a live worker must never take up a run that was started for the emulator.
  const name = values.live ? 'demo-live' : 'demo';
  const directory = join(values.state === undefined ? join(ROOT, '.wan-video') : fromCaller(values.state), name);
  await mkdir(directory, { recursive: true });
  if (values.live && !values.stop && !(await confirmPurchase(values.yes === true))) return ExitCode.invalid;
  const unlock = await lockDirectory(directory, (pid) =>
    say(`Another demo (process ${pid}) is running; waiting until it ends …`),
  );
  try {
    return values.stop ? await stop(directory) : await demo(directory, image, values);
  } finally {
    await unlock();
  }
}

async function stop(directory: string): Promise<number> {
  say(
    (await stopEmbeddedTemporal(directory))
      ? 'The demo’s Temporal was stopped.'
      : 'No Temporal of the demo is running.',
  );
  return ExitCode.done;
}

/** One durable generation, or the comparison after a lost reply, with its own Temporal, a provider and a worker. */
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
    const scene = values['lost-reply'] ? compareLostReply : generateOnce;
    const code = await Promise.race([scene(stack, image, prompt, signal), workerEnd(stack, signal)]).catch(
      (error: unknown) => {
        if (!signal.aborted) throw error;
      },
    );
    if (code === undefined) {
      say('Interrupted. The generation is kept; run the demo again to continue it.');
      return ExitCode.cancelled;
    }
    say(`Temporal keeps running for its Web UI; stop it with "npm run demo -- ${values.live ? '--live ' : ''}--stop".`);
    if (values['keep-open']) {
      say('Worker and emulator run until Ctrl-C.');
      await Promise.race([stack.worker, aborted(interrupt.signal)]);
    }
    return code;
  } finally {
    await stack.close();
  }
}

/** One generation, with its result on stdout. */
async function generateOnce(stack: LocalStack, image: string, prompt: string, signal: AbortSignal): Promise<number> {
  const { result, webUi } = await generate(stack, image, prompt, signal);
  const file = result.video_url.startsWith('file:') ? fileURLToPath(result.video_url) : result.video_url;
  process.stdout.write(`${resultText(result)}\nfile      ${file}\nWeb UI    ${webUi}\n`);
  return ExitCode.done;
}

/** What a lost reply costs here and elsewhere; done only if this project has bought exactly once. */
async function compareLostReply(
  stack: LocalStack,
  image: string,
  prompt: string,
  signal: AbortSignal,
): Promise<number> {
  if (stack.emulator === undefined) throw new Error('only the emulator can lose a reply');
  const { ours, retrying } = await loseReplies({
    emulator: stack.emulator,
    // A unique prompt: an equal earlier one would be answered from the cache, and its reply could not be lost.
    prompt: `${prompt}, take ${randomBytes(3).toString('hex')}`,
    image,
    durationSeconds: QUICK_START.duration,
    generate: async (words) => (await generate(stack, image, words, signal)).result,
    say,
    signal,
  });
  const price = (seconds: number): string => `CNY ${(seconds * CNY_PER_SECOND).toFixed(2)}`;
  say('\nWhat the provider has sold, by the emulator’s state:');
  process.stdout.write(`${purchaseComparison(ours, retrying, price)}\n`);
  if (!ours.lost || !retrying.lost) say('A reply that should have been lost was not, so the comparison is void.');
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
  const staged = await stageImage(image, openStore(config.store, config));
  const videos = new WanVideoClient({ client, taskQueue: config.taskQueues.generate });
  const started = await videos.start({ ...QUICK_START, prompt, reference_image: `asset:${staged.asset.key}` });
  const webUi = `${temporal.uiUrl}/namespaces/default/workflows/${encodeURIComponent(started.id)}`;
  say(
    started.joined
      ? 'An interrupted generation was found; it continues in a few seconds.'
      : 'A run has started; a video that was bought before is answered from the cache.',
  );
  say(`Web UI    ${webUi}`);
  const line = progressLine(process.stderr, process.env);
  const show = (progress: FollowedProgress): void => line.show(progress, Date.now());
  const result = await followVideo(videos, started.id, show, { signal }).finally(() => line.end());
  return { result, webUi };
}

/** A worker that ends by itself is a failure: without one, the run would never end. */
async function workerEnd({ worker }: LocalStack, interrupt: AbortSignal): Promise<undefined> {
  await worker;
  if (!interrupt.aborted) throw new Error('the worker ended by itself');
  return undefined;
}

/** The store's part of the environment; for a live demo also the provider's. Temporal's part is never read. */
function storeAndProvider(live: boolean): NodeJS.ProcessEnv {
  const { OUTPUT_DIR: outputDir } = process.env;
  const store = outputDir ? { OUTPUT_DIR: fromCaller(outputDir) } : {};
  return live ? { ...process.env, ...store } : { ...store, WAN_VIDEO_ACCOUNT: ACCOUNT };
}

/** Shows the price of a live demo and asks. */
async function confirmPurchase(yes: boolean): Promise<boolean> {
  const where = { cwd: ROOT, homeDir: homedir() };
  const { provider } = loadConfig(process.env, where);
  const key = await resolveApiKey(process.env, where);
  const seconds = QUICK_START.duration;
  const list = LIST_PRICES[provider.providerId];
  const price =
    list === undefined
      ? 'at a price that is not known here (see the provider’s price page)'
      : `for about ${seconds} × ${list.currency} ${list.perSecond} (list price; the provider’s price page is binding)`;
  say(`This buys ${seconds} seconds of silent video at 720P, ${price}.`);
  say(`Provider  ${provider.baseUrl}, key from ${key.source}. Later, an equal request is free: the cache answers it.`);
  if (yes) return true;
  if (!process.stdin.isTTY) {
    say('There is no terminal to ask on: give --yes to buy.');
    return false;
  }
  return confirm('Buy it?', process);
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    say(errorText(error));
    process.exit(exitCodeOf(error));
  },
);

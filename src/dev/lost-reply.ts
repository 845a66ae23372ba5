import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VideoResult } from '../contract/result.js';
import type { Emulator, EmulatorTask } from '../emulator/index.js';

/** Between two checks of a task, as in a client without a polling schedule. */
const CHECK_EVERY_MS = 500;

/** What the provider (the emulator's state) has sold for one prompt. */
interface Sales {
  /** Accepted tasks, each of them a purchase. */
  readonly purchases: number;
  readonly billedSeconds: number;
  /** Whether the reply was really lost. */
  readonly lost: boolean;
}

/** What the two clients need. */
interface SceneOptions {
  readonly emulator: Emulator;
  /** Common part of both prompts; what follows it distinguishes the two clients. */
  readonly prompt: string;
  /** Path of the picture. */
  readonly image: string;
  readonly durationSeconds: number;
  /** Generates with the product, shows its progress, and waits for the video. */
  readonly generate: (prompt: string) => Promise<VideoResult>;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Loses the reply to one submit of this product and to one of a client that simply tries again, one after the other at
 * the same emulator, and returns what each of them bought there.
 * @throws what `generate` throws, and `signal.reason` on abort.
 */
export async function loseReplies(options: SceneOptions): Promise<{ ours: Sales; retrying: Sales }> {
  const { emulator, generate, say } = options;
  const prompts = { ours: `${options.prompt} (with this project)`, retrying: `${options.prompt} (simply tried again)` };
  const lose = (prompt: string): void => emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });

  say('\n1. This project submits; the provider accepts the task, and its reply is lost on the way.');
  lose(prompts.ours);
  const { task_id } = await generate(prompts.ours);
  say(`It did not submit again: it found its task ${task_id} in the provider’s list, and followed it.`);

  say(
    '\n2. A client that simply tries again, at the same provider, with the same picture. Its first reply is lost as ' +
      'well.',
  );
  lose(prompts.retrying);
  await tryAgain(prompts.retrying, options);
  return { ours: salesOf(emulator, prompts.ours), retrying: salesOf(emulator, prompts.retrying) };
}

/** Both counts and what they cost, side by side, for people. */
export function purchaseComparison(ours: Sales, retrying: Sales, price: (seconds: number) => string): string {
  const row = (who: string, { purchases, billedSeconds }: Sales): string =>
    `${who.padEnd(24)}${String(purchases).padStart(9)}   ${`${billedSeconds} s`.padStart(6)}   ${price(billedSeconds)}`;
  return [
    'one reply lost          purchases   billed   at the list price',
    row('this project', ours),
    row('simply trying again', retrying),
  ].join('\n');
}

/** Submits in a loop until an answer comes, as many clients do; then waits for its video and for the lost one. */
async function tryAgain(
  prompt: string,
  { emulator, image, durationSeconds, say, signal }: SceneOptions,
): Promise<void> {
  const img_url = `data:image/jpeg;base64,${(await readFile(image)).toString('base64')}`;
  const body = JSON.stringify({
    model: emulator.changeSettings({}).models[0],
    input: { prompt, img_url },
    parameters: { resolution: '720P', duration: durationSeconds, audio: false },
  });
  const headers = {
    authorization: 'Bearer sk-emulator',
    'content-type': 'application/json',
    'x-dashscope-async': 'enable',
  };
  const path = '/services/aigc/video-generation/video-synthesis';
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(emulator.baseUrl + path, { method: 'POST', headers, body, signal }).catch(
      (error: unknown) => {
        if (signal.aborted) throw signal.reason;
        return (error as Error).cause ?? error;
      },
    );
    if (answer instanceof Response) {
      say(`attempt ${attempt}  answered with status ${answer.status}`);
      if (!answer.ok) throw new Error(`the emulator refuses the second client: ${await answer.text()}`);
      break;
    }
    say(`attempt ${attempt}  no answer (${answer instanceof Error ? answer.message : String(answer)}), trying again`);
  }
  while (tasksOf(emulator, prompt).some(isOpen)) await sleep(CHECK_EVERY_MS, undefined, { signal });
}

const tasksOf = (emulator: Emulator, prompt: string): EmulatorTask[] =>
  emulator.state().tasks.filter((task) => task.prompt === prompt);

const isOpen = ({ status }: EmulatorTask): boolean => status === 'PENDING' || status === 'RUNNING';

function salesOf(emulator: Emulator, prompt: string): Sales {
  const tasks = tasksOf(emulator, prompt);
  return {
    purchases: tasks.length,
    billedSeconds: tasks.reduce((sum, task) => sum + task.billed_seconds, 0),
    lost: !emulator.queuedFaults().some(({ match }) => match === prompt),
  };
}

import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { WorkflowHandle } from '@temporalio/client';
import { expect } from 'vitest';
import { VideoRunError } from '../../src/client/run-error.js';
import type { EmulatorFault, EmulatorTask } from '../../src/emulator/index.js';
import type { Hold } from '../support/gate-proxy.js';
import { HOSTILE_ARGUMENTS, SIGNALS, sendSignal } from '../support/hostile-messages.js';
import type { Disturbance, Expected, ProviderCell, Step } from './cells.js';
import { fillDisk, makeUnwritable, PRICE, takeStoreAway, type World } from './world.js';

const run = promisify(execFile);

/** How long the disturbed part stays away. */
const AWAY_MS = 3_000;
/** Longer than eight attempts of a step, with the pauses between them: as 91 s are with the shipped times. */
const LONG_MS = 15_000;
/** A run that has not ended by then hangs. */
const END_MS = 180_000;

/** A run that is held in the step under test. */
export interface ArrangedRun {
  readonly step: Step;
  readonly id: string;
  readonly prompt: string;
  /** Another run of the same purchase, which must end well, too. */
  readonly buyer?: string;
}

export const waitFor = async <T>(what: string, look: () => Promise<T | undefined | false>, ms = 30_000): Promise<T> => {
  for (const untilMs = Date.now() + ms; ; await delay(50)) {
    const found = await look().catch(() => undefined);
    if (found !== undefined && found !== false) return found as T;
    if (Date.now() > untilMs) throw new Error(`not within ${ms} ms: ${what}`);
  }
};

const tasksOf = async (world: World, prompt: string): Promise<EmulatorTask[]> =>
  (await world.emulator.state()).tasks.filter((task) => task.prompt === prompt);
const stageOf = async (world: World, id: string) => (await world.videos.progress(id)).stage;

interface StartOptions {
  readonly id?: string;
  readonly image?: string;
  readonly tenant?: string | undefined;
}

/** Starts a run of the prompt; its id. */
export async function start(world: World, prompt: string, { id, image, tenant }: StartOptions = {}): Promise<string> {
  const request = { ...world.request(prompt, image), ...(tenant !== undefined && { tenant }) };
  const started = await world.videos.start(
    request as Parameters<World['videos']['start']>[0],
    id === undefined ? {} : { id },
  );
  return started.id;
}

export async function reached(hold: Hold, what: string): Promise<void> {
  // With the shipped times the list comes 60 s after the submit.
  const late = delay(120_000, 'late', { ref: false });
  if ((await Promise.race([hold.reached, late])) === 'late') throw new Error(`no request came: ${what}`);
}

/** Brings a run into a step and holds it there. */
export async function arrange(world: World, step: Step, tenant?: string): Promise<ArrangedRun> {
  const { gate, emulator, images } = world;
  const prompt = `${step} ${randomUUID()}`;
  const isSubmit = (url: string, body: string) => url.endsWith('/video-synthesis') && body.includes(prompt);
  const aboutTask = async () => {
    const [task] = await waitFor('a task', async () => {
      const found = await tasksOf(world, prompt);
      return found.length > 0 && found;
    });
    return task?.task_id ?? '';
  };
  switch (step) {
    case 'prepare': {
      const path = `/${randomUUID()}.jpg`;
      const { reached: asked } = images.hold(path);
      const id = await start(world, prompt, { image: images.origin + path, tenant });
      await asked;
      return { step, id, prompt };
    }
    case 'upload': {
      const hold = gate.hold('before', ({ url }) => url.includes('action=getPolicy'));
      const id = await start(world, prompt, { tenant });
      await reached(hold, 'policy');
      return { step, id, prompt };
    }
    case 'submit': {
      const hold = gate.hold('after', ({ url, body }) => isSubmit(url, body));
      const id = await start(world, prompt, { tenant });
      await reached(hold, 'submit');
      return { step, id, prompt };
    }
    case 'follow': {
      const hold = gate.hold('after', ({ url, body }) => isSubmit(url, body));
      const buyer = await start(world, prompt, { tenant });
      await reached(hold, 'the buyer’s submit');
      const id = await start(world, prompt, { id: `follower/${randomUUID()}`, tenant });
      await waitFor('following', async () => (await stageOf(world, id)) === 'following');
      return { step, id, prompt, buyer };
    }
    case 'reconcile': {
      await emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
      const hold = gate.hold('before', ({ url }) => /\/tasks\/?\?/.test(url));
      const id = await start(world, prompt, { tenant });
      await reached(hold, 'list');
      return { step, id, prompt };
    }
    case 'poll':
      return { step, id: await startRendering(world, prompt, tenant), prompt };
    case 'archive': {
      let taskId = '';
      const hold = gate.hold('before', ({ url }) => taskId !== '' && url.includes('/results/') && url.includes(taskId));
      const id = await start(world, prompt, { tenant });
      taskId = await aboutTask();
      await reached(hold, 'download');
      return { step, id, prompt };
    }
    case 'cancel': {
      const hold = gate.hold('before', ({ url }) => url.endsWith('/cancel'));
      const id = await startRendering(world, prompt, tenant);
      await world.client.workflow.getHandle(id).cancel();
      await reached(hold, 'cancel');
      return { step, id, prompt };
    }
  }
}

/** Starts a run and holds it where its task renders, or has just ended, and the run does not know yet. */
async function startRendering(world: World, prompt: string, tenant?: string): Promise<string> {
  let taskId = '';
  const hold = world.gate.hold('before', ({ method, url }) => {
    return method === 'GET' && taskId !== '' && url.endsWith(taskId);
  });
  const id = await start(world, prompt, { tenant });
  const task = await waitFor('a task that renders', async () => {
    const [found] = await tasksOf(world, prompt);
    taskId = found?.task_id ?? '';
    return found !== undefined && found.status !== 'PENDING' && found;
  });
  await reached(hold, `the query of ${task.task_id}`);
  return id;
}

/** Runs that are held in the given steps, one in each, all at once. */
export async function arrangeAll(world: World, steps: readonly Step[]): Promise<ArrangedRun[]> {
  const arranged: ArrangedRun[] = [];
  const one = async (step: Step) => {
    if (steps.includes(step)) arranged.push(await arrange(world, step));
  };
  // The first one needs the longest to come into its step, the second must be alone in its own; the others are quick. A
  // cancel cannot be held for longer than its run waits for it, two seconds: it comes last.
  await one('reconcile');
  await one('upload');
  const others = steps.filter((step) => !['reconcile', 'upload', 'cancel'].includes(step));
  arranged.push(...(await Promise.all(others.map((step) => arrange(world, step)))));
  await one('cancel');
  return arranged;
}

export function releaseRuns(world: World): void {
  world.gate.releaseAll();
  world.images.releaseAll();
}

/** Does to the arranged runs what the row says, and releases them. */
export async function disturb(world: World, what: Disturbance, runs: readonly ArrangedRun[]): Promise<void> {
  const away = async (takeAway: () => Promise<() => Promise<unknown>>, forMs = AWAY_MS) => {
    const giveBack = await takeAway();
    releaseRuns(world);
    await delay(forMs);
    await giveBack();
  };
  switch (what) {
    case 'worker-sigterm': {
      const ended = world.worker.end('SIGTERM');
      releaseRuns(world);
      await Promise.all([ended, world.startWorker()]);
      return;
    }
    case 'worker-sigkill':
      await world.worker.end('SIGKILL');
      releaseRuns(world);
      await world.startWorker();
      return;
    case 'slots-terminated':
      await world.client.workflow.getHandle(world.slotsId).terminate('a test');
      return releaseRuns(world);
    case 'temporal-down':
      return away(async () => {
        await world.temporalDown();
        return () => world.temporalUp();
      });
    case 'provider-down':
      return away(async () => {
        await world.emulator.kill();
        return () => world.emulator.start();
      });
    case 'store-gone':
      return away(() => takeStoreAway(world.storeDir));
    case 'store-gone-long':
      return away(() => takeStoreAway(world.storeDir), LONG_MS);
    case 'store-unwritable':
      return away(() => makeUnwritable(world.storeDir));
    case 'disk-full':
      return away(() => fillDisk(world.storeDir));
    case 's3-down':
      return away(async () => {
        await world.s3?.down();
        return async () => world.s3?.up();
      });
    case 's3-key-rotated': {
      const { s3Keys } = world;
      await s3Keys?.add();
      // The earlier key is refused before the workers read the new one.
      return away(async () => {
        await s3Keys?.removeEarlier();
        return async () => s3Keys?.use();
      });
    }
    case 'measuring-killed':
      releaseRuns(world);
      return killMeasuring(world.worker.pid);
    case 'hostile-messages':
      await Promise.all(
        [...runs.map(({ id }) => id), world.slotsId].map(async (id) => {
          for (const name of SIGNALS) {
            await Promise.all(
              // The run may end meanwhile.
              HOSTILE_ARGUMENTS.map((given) => sendSignal(world.client, id, name, given).catch(() => undefined)),
            );
          }
        }),
      );
      return releaseRuns(world);
    case 'activity-pause': {
      const paused = await Promise.all(runs.map((one) => onActivity(world, one, 'pause')));
      releaseRuns(world);
      await delay(AWAY_MS);
      // A step that ended meanwhile by itself (a submit is not interrupted) has nothing to unpause.
      await Promise.all(paused.map((args) => world.temporal('activity', 'unpause', ...args).catch(() => undefined)));
      return;
    }
    case 'activity-reset':
      await Promise.all(runs.map((one) => onActivity(world, one, 'reset')));
      return releaseRuns(world);
    case 'workflow-reset':
      await Promise.all(
        runs.map(async ({ id }) => {
          const { runId } = await world.client.workflow.getHandle(id).describe();
          await world.client.workflowService.resetWorkflowExecution({
            namespace: 'default',
            requestId: randomUUID(),
            reason: 'a test',
            workflowExecution: { workflowId: id, runId },
            workflowTaskFinishEventId: 4 as never, // the first workflow task: everything is done again
          });
        }),
      );
      return releaseRuns(world);
    case 'cancel-signal':
    case 'cancel-native':
      await Promise.all(
        runs.map(({ id }) =>
          what === 'cancel-signal'
            ? world.videos.cancel(id, 'a test')
            : world.client.workflow
                .getHandle(id)
                .cancel()
                .then(() => undefined),
        ),
      );
      return releaseRuns(world);
  }
}

/** Kills every process that the worker starts to measure a result, for a while. */
async function killMeasuring(workerPid: number): Promise<void> {
  const untilMs = Date.now() + AWAY_MS;
  for (let killed = 0; Date.now() < untilMs || killed === 0; await delay(20)) {
    const { stdout } = await run('pgrep', ['-P', String(workerPid)]).catch(() => ({ stdout: '' }));
    for (const pid of stdout.split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
        killed += 1;
      } catch {
        // It has just ended by itself.
      }
    }
  }
}

async function onActivity(world: World, { id }: ArrangedRun, verb: 'pause' | 'reset'): Promise<string[]> {
  const activityId = await waitFor(`an activity of ${id}`, async () => {
    const { raw } = await world.client.workflow.getHandle(id).describe();
    return raw.pendingActivities?.[0]?.activityId ?? undefined;
  });
  const args = ['--workflow-id', id, '--activity-id', activityId];
  await world.temporal('activity', verb, ...args);
  return args;
}

/** What came of a run. */
export interface Outcome extends Expected {
  /** Whether every billed video is in the store, byte for byte as the provider has it. */
  readonly archived: boolean;
}

/** Waits for the end of a run and of its salvage, and counts at the provider. */
export async function outcomeOf(
  world: World,
  { id, prompt, buyer }: Pick<ArrangedRun, 'id' | 'prompt' | 'buyer'>,
): Promise<Outcome> {
  const end = await endOf(world, id);
  if (buyer !== undefined) await endOf(world, buyer);
  if (end === 'cancelled') await salvaged(world, id);
  const tasks = await tasksOf(world, prompt);
  const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
  const hashes = await Promise.all(
    billed.map(async ({ task_id }) => [await world.storedHash(task_id), await world.providerHash(task_id)] as const),
  );
  return {
    end,
    tasks: tasks.length,
    billedSeconds: billed.reduce((sum, task) => sum + task.billed_seconds, 0),
    archived: hashes.every(([stored, theirs]) => stored === theirs),
  };
}

async function endOf(world: World, id: string): Promise<Expected['end']> {
  const ended = world.videos.result(id).then(
    () => 'completed' as const,
    (error: unknown) => {
      if (!(error instanceof VideoRunError)) throw error;
      return error.cancelled ? ('cancelled' as const) : (`failed ${error.error.type}` as const);
    },
  );
  const end = await Promise.race([ended, delay(END_MS, undefined, { ref: false })]);
  if (end !== undefined) return end;
  const { stage, waiting_for } = await world.videos.progress(id);
  throw new Error(`${id} hangs: ${stage}, waiting for ${waiting_for}`);
}

/** Waits for the salvage that a cancelled run names, when it names one. */
async function salvaged(world: World, id: string): Promise<void> {
  const { cancel } = await world.videos.progress(id);
  const salvage = /salvage\/[^\s;]+/.exec(cancel?.outcome ?? '')?.[0];
  if (salvage === undefined) return;
  const handle: WorkflowHandle = world.client.workflow.getHandle(salvage.replace(/[.,]$/, ''));
  await handle.result();
}

/**
 * What a run leaves that cannot say that it bought nothing, such as one that is cancelled while it asks, is free once
 * the ledger has shown nothing for a minute; a look at the holders, here every ten seconds, finds it, and a killed
 * worker takes its time.
 */
const SETTLED_MS = 100_000;

/**
 * Waits until the slots have nothing open: nothing is held or reserved, and what they count as spent is what the
 * provider billed.
 */
export async function expectSettled(world: World): Promise<void> {
  const books = async () => {
    const { tasks } = await world.emulator.state();
    const billed = tasks.reduce((sum, { billed_seconds }) => sum + billed_seconds, 0);
    const { holders = [], budgets = [] } = (await world.slots().catch(() => undefined)) ?? {};
    const day = budgets.find(({ scope }) => scope === 'day');
    return {
      holders: holders.length,
      reserved: budgets.filter(({ reserved }) => reserved !== 0),
      spent: day?.spent ?? 'nothing is known',
      billed: Number((billed * PRICE).toFixed(6)),
    };
  };
  await expect
    .poll(
      async () => {
        const { spent, billed, ...left } = await books();
        return { ...left, ...(spent !== billed && { spent, billed }) };
      },
      { timeout: SETTLED_MS, interval: 200 },
    )
    .toEqual({ holders: 0, reserved: [] });
}

/** Waits until every event is delivered; each run that ended was then notified under one id, with one text. */
export async function expectNotified({ client, receiver }: World): Promise<void> {
  const idsOf = async (query: string): Promise<string[]> => {
    const ids = new Set<string>();
    for await (const { workflowId } of client.workflow.list({ query })) ids.add(workflowId);
    return [...ids];
  };
  const textsOf = (workflowId: string) => receiver.taken(workflowId).map(({ id, body }) => `${id} ${body}`);
  const wrong = async () => {
    // One that was cancelled may not have known its receiver yet.
    const ended = await idsOf(
      'WorkflowType IN ("videoGenerate", "videoBatch") AND ExecutionStatus IN ("Completed", "Failed")',
    );
    expect(ended.length).toBeGreaterThan(0);
    return [
      ...ended.filter((workflowId) => new Set(textsOf(workflowId)).size !== 1),
      ...(await idsOf('WorkflowType = "deliverWebhook" AND ExecutionStatus != "Completed"')),
    ];
  };
  await expect.poll(wrong, { timeout: SETTLED_MS, interval: 500 }).toEqual([]);
}

/** Runs one cell of the provider's answers: the fault waits for its request, and must have been met. */
export async function providerOutcome(world: World, cell: ProviderCell): Promise<Outcome> {
  const { step, on, inject } = cell;
  const { emulator, gate } = world;
  const prompt = `${cell.fault} ${step} ${on} ${randomUUID()}`;
  const matches = on !== 'policy' && on !== 'upload' && on !== 'list';
  // A cancel is asked once.
  const once = on === 'cancel' && { times: 1 };
  const fault = { on, ...inject, ...once, ...(matches && { match: prompt }) } as EmulatorFault;
  if (step === 'reconcile') await emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: prompt });
  let hold: Hold | undefined;
  if (step === 'archive' && on === 'query') {
    // The archive's own query comes after the poll's last answer, when the link that it showed has run out.
    await emulator.queueFaults({ on: 'download', fault: 'expired', match: prompt });
    hold = gate.hold('after', ({ url, reply }) => url.includes('/tasks/') && isEndOf(reply, prompt));
  } else await emulator.queueFaults(fault);
  const id = step === 'cancel' ? await startRendering(world, prompt) : await start(world, prompt);
  if (hold !== undefined) {
    await reached(hold, 'the last answer to the poll');
    await emulator.queueFaults(fault);
    hold.release();
  }
  if (step === 'cancel') await world.client.workflow.getHandle(id).cancel();
  const outcome = await outcomeOf(world, { id, prompt });
  const left = (await emulator.queuedFaults()).filter(
    (one) => one.times !== null && (one.match === prompt || (!matches && one.on === on)),
  );
  expect(left, 'faults that no request met').toEqual([]);
  return outcome;
}

const isEndOf = (reply: string | undefined, prompt: string): boolean =>
  reply?.includes('SUCCEEDED') === true && reply.includes(prompt);

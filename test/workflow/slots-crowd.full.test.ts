import type { temporal } from '@temporalio/proto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mapParallel } from '../../src/async/map-parallel.js';
import { readAccountSlots } from '../../src/client/account-slots.js';
import { WorkflowType } from '../../src/contract/names.js';
import type { SlotAnswer, SlotRequestMessage } from '../../src/contract/slots.js';
import { stepTimesOf } from '../../src/contract/times.js';
import { SlotRequests } from '../../src/worker/slot-requests.js';
import { packQueue } from '../../workflows/slots/carried-queue.js';
import { WaitingQueue } from '../../workflows/slots/waiting-queue.js';
import { type Account, type Accounts, startAccounts } from '../support/account.js';
import { startWorkerProcess, type WorkerProcess } from '../support/processes.js';
import type { Stack } from '../support/stack.js';

const LIMIT = 5;
const DRAIN_LIMIT = 200;
/** Workers that send the requests. */
const WORKERS = 4;
/** Far below the 10,000 signals that a recipient may receive. */
const REQUESTS_PER_RECIPIENT = 500;
/** Of a run that hands a long queue on, as the product has it. */
const PAGE_BYTES = 1_000_000;

let accounts: Accounts;
let stack: Stack;
const crowds: Crowd[] = [];
beforeAll(async () => {
  accounts = await startAccounts(50);
  stack = accounts.stack;
});
afterAll(async () => {
  await Promise.all(crowds.map((crowd) => crowd.close()));
  await accounts?.close();
});

/** An account's slots and the requests of a crowd, whose answers go to workflows that no worker runs. */
class Crowd {
  readonly requests: readonly SlotRequestMessage[];
  /** How often each request was granted. */
  readonly grants = new Map<string, number>();
  readonly #one: Account = accounts.account(LIMIT);
  readonly #released = new Set<string>();
  readonly #recipients: readonly string[];
  #releasesMax = 0;
  readonly #senders = new Map<number, SlotRequests[]>();
  #isClosed = false;
  #worker: WorkerProcess | undefined;

  constructor(size: number) {
    crowds.push(this);
    const count = Math.ceil(size / REQUESTS_PER_RECIPIENT);
    this.#recipients = Array.from({ length: count }, (_, at) => `${this.#one.name}/recipient-${at}`);
    this.requests = Array.from({ length: size }, (_, at) => ({
      key: at.toString(16).padStart(64, '0'),
      afterPurchase: 0,
      requesterId: this.#recipients[at % count] as string,
      tenant: `tenant-${at % 50}`,
      batch: `batch-${at % 3}`,
      priority: 'batch',
      limit: LIMIT,
    }));
  }

  get slots() {
    return stack.client.workflow.getHandle(this.#one.slotsId);
  }

  async startRecipients(): Promise<void> {
    for await (const workflowId of mapParallel(this.#recipients, 20, async (id) => {
      await stack.client.workflow.start('recipient', { workflowId: id, taskQueue: `${this.#one.name}/nobody` });
      return id;
    })) {
      void this.#followGrants(workflowId);
    }
  }

  startSlots(limit: number, sizes: { readonly eventsMax?: number; readonly pageBytes?: number } = {}) {
    const times = stepTimesOf(this.#one.config.times);
    return this.#start(WorkflowType.accountSlots, this.#one.slotsId, [{ limit, times, ...sizes }]);
  }

  /** Starts the slots as the run of a chain whose requests all wait: each has been sent its place. */
  async continueSlots(eventsMax: number) {
    const queue = new WaitingQueue();
    const sinceMs = Date.now();
    for (const [at, { requesterId, ...request }] of this.requests.entries()) {
      const notified = { position: at + 1, isProvisional: false, isDue: false };
      queue.add({ ...request, requesters: [requesterId], sinceMs, notified });
    }
    const [first, ...others] = packQueue(queue, PAGE_BYTES);
    const slots = this.#one.slotsId;
    const keepers = others.map((_, at) => `${slots}/page/${at}`);
    for (const [at, page] of others.entries()) {
      await this.#start(WorkflowType.keepSlotsPage, keepers[at] ?? '', [{ slots }, page]);
    }
    const state = { limit: LIMIT, holders: [], budget: null, spending: null, unsettled: [] };
    const none = { due: [], backlog: [], auditedAtMs: sinceMs, spendingReadAtMs: 0, ignoredSignals: 0 };
    const times = stepTimesOf(this.#one.config.times);
    const input = { limit: LIMIT, times, eventsMax, carried: { state, keepers, ...none } };
    return this.#start(WorkflowType.accountSlots, slots, [input, first]);
  }

  async startWorker(): Promise<void> {
    const { name } = this.#one;
    const env = { WAN_VIDEO_ACCOUNT: name, WAN_VIDEO_TASK_QUEUE: name, WAN_VIDEO_MAX_RUNNING: `${LIMIT}` };
    this.#worker = await startWorkerProcess(stack, {}, { env });
  }

  async killWorker(): Promise<void> {
    await this.#worker?.end('SIGKILL');
  }

  async request(requests: readonly SlotRequestMessage[], limit = LIMIT): Promise<void> {
    const senders = this.#senders.get(limit) ?? Array.from({ length: WORKERS }, () => this.#sender(limit));
    this.#senders.set(limit, senders);
    const sent = requests.map(({ limit: _, ...request }, at) => senders[at % WORKERS]?.send(request));
    await Promise.all(sent);
  }

  /** Sends as a worker does. */
  #sender(limit: number): SlotRequests {
    return new SlotRequests((requests) => this.slots.signal('requestSlots', { limit, requests }));
  }

  /** The view of the slots; undefined while they do not answer. */
  view(offset = 0, count = 1) {
    const { provider } = this.#one.config;
    const page = { offset, count };
    return readAccountSlots(stack.client, provider.providerId, this.#one.name, page).catch(() => undefined);
  }

  async counts() {
    const view = await this.view();
    return [view?.holders_count, view?.waiting_count];
  }

  /** Lets so many requests release their slot, each as soon as its grant has arrived. */
  allowReleases(count: number): void {
    this.#releasesMax = count;
    this.#release();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const ends = [this.#one.slotsId, ...this.#recipients].map((id) =>
      stack.client.workflow
        .getHandle(id)
        .terminate()
        .catch(() => undefined),
    );
    await Promise.all(ends);
    await this.killWorker();
  }

  #start(type: string, workflowId: string, args: unknown[]) {
    return stack.client.workflow.start(type, { workflowId, taskQueue: this.#one.config.taskQueues.generate, args });
  }

  #release(): void {
    for (const key of this.grants.keys()) {
      if (this.#released.size >= this.#releasesMax) return;
      if (this.#released.has(key)) continue;
      this.#released.add(key);
      void this.slots.signal('releaseSlot', { key, n: 1 });
    }
  }

  /** Counts the grants that a recipient receives, until it ends. */
  async #followGrants(workflowId: string): Promise<void> {
    const { namespace } = stack.client.options;
    let nextPageToken: Uint8Array | undefined;
    let seen = 0;
    do {
      const execution = { workflowId };
      const request = { namespace, execution, waitNewEvent: true, ...(nextPageToken && { nextPageToken }) };
      // A token may expire while the recipient's first events are written; the history is then read from its start.
      const page = await stack.client.workflowService.getWorkflowExecutionHistory(request).catch(() => undefined);
      for (const event of page?.history?.events ?? []) {
        const id = Number(event.eventId);
        if (id <= seen) continue;
        seen = id;
        this.#countGrant(event.workflowExecutionSignaledEventAttributes);
      }
      this.#release();
      nextPageToken = page?.nextPageToken;
      if (page !== undefined && !nextPageToken?.length) return;
    } while (!this.#isClosed);
  }

  #countGrant(signal: temporal.api.history.v1.IWorkflowExecutionSignaledEventAttributes | null | undefined): void {
    const data = signal?.signalName === 'slot' ? signal.input?.payloads?.[0]?.data : undefined;
    if (data == null) return;
    const { key, waiting } = JSON.parse(Buffer.from(data).toString()) as SlotAnswer;
    if (waiting === null) this.grants.set(key, (this.grants.get(key) ?? 0) + 1);
  }
}

test('a crowd is carried on past a killed worker, a reset and a termination, and each request is granted once', async () => {
  const size = 3_000;
  const crowd = new Crowd(size);
  const { requests, grants } = crowd;
  await crowd.startWorker();
  await crowd.startRecipients();
  const { firstExecutionRunId: firstRun } = await crowd.startSlots(LIMIT, { eventsMax: 1_500, pageBytes: 20_000 });
  const until = (is: () => unknown, expected: unknown, timeout = 120_000) =>
    expect.poll(is, { timeout, interval: 500 }).toEqual(expected);

  await crowd.request(requests.slice(0, size / 4));
  await Promise.all([crowd.request(requests.slice(size / 4, size / 2)), crowd.killWorker()]);
  await crowd.startWorker();
  await crowd.request(requests.slice(size / 2));
  await until(() => crowd.counts(), [LIMIT, size - LIMIT]);
  // Pages of the view have every request once.
  const shown = new Set<string>();
  const countShown = async () => {
    for (let offset = 0; offset < size; offset += 1_000) {
      for (const { purchase_key } of (await crowd.view(offset, 1_000))?.waiting ?? []) shown.add(purchase_key);
    }
    return shown.size;
  };
  await until(countShown, size - LIMIT);
  // The step that the killed worker ran is repeated first.
  await expect.poll(async () => (await crowd.slots.describe()).runId, { timeout: 180_000 }).not.toBe(firstRun);
  await until(() => crowd.counts(), [LIMIT, size - LIMIT]);

  const { runId } = await crowd.slots.describe();
  await stack.client.workflowService.resetWorkflowExecution({
    namespace: stack.client.options.namespace,
    workflowExecution: { workflowId: crowd.slots.workflowId, runId },
    reason: 'a test',
    workflowTaskFinishEventId: 4 as never, // a number is as good as a Long
    requestId: 'a-test',
  });
  await until(() => crowd.counts(), [LIMIT, size - LIMIT]);
  await crowd.slots.signal('setSlotLimit', { limit: DRAIN_LIMIT });
  crowd.allowReleases(size / 3);
  await until(() => grants.size, size / 3 + DRAIN_LIMIT);

  // What waits is lost with the run, and the runs request again.
  await crowd.slots.terminate();
  await crowd.startSlots(DRAIN_LIMIT, { eventsMax: 1_500, pageBytes: 20_000 });
  const held = grants.size;
  await crowd.request(
    requests.filter(({ key }) => !grants.has(key)),
    DRAIN_LIMIT,
  );
  await until(() => crowd.counts(), [DRAIN_LIMIT, size - held - DRAIN_LIMIT]);
  crowd.allowReleases(size);
  await until(() => grants.size, size, 240_000);
  await until(() => crowd.counts(), [0, 0]);
  expect([...grants].filter(([, count]) => count !== 1)).toEqual([]);
}, 600_000);

// Temporal itself takes up to 15 s: ten until a workflow task of the killed worker times out, and five for its queue.
test.each([10, 1_000])(
  'with %i requests, the successor of a killed worker answers within 30 s',
  async (size) => {
    const crowd = new Crowd(size);
    await crowd.startWorker();
    await crowd.startRecipients();
    await crowd.startSlots(LIMIT);
    await crowd.request(crowd.requests);
    await expect.poll(() => crowd.counts(), { timeout: 120_000, interval: 500 }).toEqual([LIMIT, size - LIMIT]);
    await crowd.killWorker();
    await crowd.startWorker();
    const startedMs = Date.now();
    await expect.poll(() => crowd.counts(), { timeout: 60_000 }).toEqual([LIMIT, size - LIMIT]);
    const tookMs = Date.now() - startedMs;
    expect(tookMs).toBeLessThan(30_000);
  },
  600_000,
);

const note = (text: string): void => console.log(`${new Date().toISOString()} ${text}`);

const FLOOD_PER_SECOND = 200;
const FLOOD_SECONDS = 60;

test('200 requests a second are taken while the slots continue as new, and the view shows each of them', async () => {
  const size = FLOOD_PER_SECOND * FLOOD_SECONDS;
  const crowd = new Crowd(size);
  await crowd.startWorker();
  await crowd.startRecipients();
  const { firstExecutionRunId } = await crowd.startSlots(LIMIT);
  const startedMs = Date.now();
  let [sent, views] = [0, 0];
  while (sent < size) {
    // A machine that cannot send as many in a second sends them late, and as fast as it can.
    const due = Math.min(size, Math.ceil(((Date.now() - startedMs) / 1_000) * FLOOD_PER_SECOND));
    const next = crowd.requests.slice(sent, Math.min(due, sent + FLOOD_PER_SECOND));
    const [view] = await Promise.all([crowd.view(), crowd.request(next)]);
    sent += next.length;
    if (view !== undefined) views += 1;
  }
  const sentMs = Date.now() - startedMs;
  await expect.poll(() => crowd.counts(), { timeout: 300_000, interval: 500 }).toEqual([LIMIT, size - LIMIT]);
  const allMs = Date.now() - startedMs;
  const runs: string[] = [];
  // Each run of the chain has continued as new, and none was ended by a limit of its history.
  const query = `WorkflowId = "${crowd.slots.workflowId}"`;
  const statuses = async () => {
    const found: string[] = [];
    for await (const { status, historyLength } of stack.client.workflow.list({ query })) {
      found.push(status.name);
      runs.push(`${status.name} ${historyLength}`);
    }
    return found;
  };
  await expect.poll(async () => new Set(await statuses())).toEqual(new Set(['RUNNING', 'CONTINUED_AS_NEW']));
  expect((await crowd.slots.describe()).raw.workflowExecutionInfo?.firstRunId).toBe(firstExecutionRunId);
  expect(views).toBeGreaterThan(0);
  note(`${size} sent in ${sentMs} ms, all in the view after ${allMs} ms; ${views} views meanwhile; ${runs.join(', ')}`);
}, 600_000);

test.each([10_000, 50_000])(
  'with %i requests, views and grants go on past a reset, a killed worker, further runs and a termination',
  async (size) => {
    const crowd = new Crowd(size);
    const { requests, grants } = crowd;
    const until = (is: () => unknown, expected: unknown, timeout = 120_000) =>
      expect.poll(is, { timeout, interval: 200 }).toEqual(expected);
    const since = async (what: string, act: () => Promise<unknown>): Promise<void> => {
      const startedMs = Date.now();
      await act();
      const { historyLength, historySize, runId } = await crowd.slots.describe();
      note(
        `${size} ${what}: ${Date.now() - startedMs} ms; ${historyLength} events, ${historySize} bytes, run ${runId}`,
      );
    };
    await crowd.startWorker();
    await crowd.startRecipients();
    await crowd.continueSlots(2_000);
    await since('seeded', () => until(() => crowd.counts(), [LIMIT, size - LIMIT]));
    const { runId } = await crowd.slots.describe();
    await stack.client.workflowService.resetWorkflowExecution({
      namespace: stack.client.options.namespace,
      workflowExecution: { workflowId: crowd.slots.workflowId, runId },
      reason: 'a test',
      workflowTaskFinishEventId: 4 as never, // a number is as good as a Long
      requestId: `reset ${runId}`,
    });
    await since('reset', () => until(() => crowd.counts(), [LIMIT, size - LIMIT]));
    // A round of grants takes a second on a busy machine.
    crowd.allowReleases(100);
    await since('grants', () => until(() => grants.size, 100 + LIMIT));
    for (const at of [1, 2, 3]) {
      crowd.allowReleases(100 + 30 * at);
      await crowd.killWorker();
      await crowd.startWorker();
      await since('killed', () => until(async () => (await crowd.view())?.holders_count, LIMIT));
      await since('granted', () => until(() => grants.size, 100 + 30 * at + LIMIT));
    }
    await crowd.slots.terminate();
    await crowd.startSlots(LIMIT);
    const held = grants.size;
    const again = requests.filter(({ key }) => !grants.has(key));
    await since('requested', () => crowd.request(again));
    await since('again', () => until(() => crowd.counts(), [LIMIT, again.length - LIMIT], 300_000));
    crowd.allowReleases(held + 30);
    await since('granted', () => until(() => grants.size, held + 30 + LIMIT, 240_000));
    await since('killed', async () => {
      await crowd.killWorker();
      await crowd.startWorker();
      await until(async () => (await crowd.view())?.holders_count, LIMIT);
    });
    // What a run had granted before it was reset is sent again, and changes nothing; nothing else is sent twice.
    expect([...grants.values()].filter((times) => times > 1).length).toBeLessThanOrEqual(LIMIT);
  },
  1_200_000,
);

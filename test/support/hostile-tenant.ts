import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  BUDGET_QUERY,
  PROGRESS_QUERY,
  REQUEST_SLOT_SIGNAL,
  SLOTS_QUERY,
  slotsWorkflowId,
  WorkflowType,
} from '../../src/contract/names.js';
import type { EmulatorFault } from '../../src/emulator/index.js';
import type { EmulatorProcess } from './emulator-process.js';
import { HOSTILE_ARGUMENTS, jsonPayload, SIGNALS, sendQuery, sendSignal, sendUpdate } from './hostile-messages.js';
import { BRACKETS, HOSTILE_REQUESTS, manyLabels } from './hostile-requests.js';
import { HOSTILE_RESULTS, PAGE_INSTEAD, serveResults } from './hostile-results.js';
import { HOSTILE_SERVERS, startHostileServer } from './hostile-servers.js';
import type { Stack } from './stack.js';

/** Signals to one run, and the time in which they are sent. */
const FLOOD = { signals: 10_000, ms: 60_000, atOnce: 20 };
/** Runs of the tenant that end at once, at the same time. */
const REQUESTS_AT_ONCE = 3;
const TENANT = 'hostile';
const PREFIX = 'hostile/';
const MEGABYTE = 1_000_000;
const TERMINAL = '\u001b[2J\u001b]0;x\u0007\u202e\r\n';
const LONG_TEXT = `${TERMINAL}${'m'.repeat(MEGABYTE)}`;

/** What the provider says of the tenant's own generations. */
const MESSAGES: readonly Omit<EmulatorFault, 'match'>[] = [
  { on: 'submit', fault: 'status', status: 400, code: 'InvalidParameter', message: LONG_TEXT },
  { on: 'submit', fault: 'status', status: 500, code: TERMINAL, message: LONG_TEXT, envelope: 'error' },
  { on: 'query', fault: 'task-failed', code: 'DataInspectionFailed', message: LONG_TEXT },
  {
    on: 'query',
    fault: 'drift',
    changes: [{ kind: 'set', path: 'output.orig_prompt', value: LONG_TEXT }],
    times: null,
  },
  { on: 'query', fault: 'drift', changes: [{ kind: 'set', path: 'output.message', value: BRACKETS }], times: 3 },
  { on: 'query', fault: 'drift', changes: [{ kind: 'raw', path: 'usage', json: '{'.repeat(MEGABYTE) }], times: 3 },
  { on: 'query', fault: 'headers', headers: { 'x-long': 'y'.repeat(60_000) }, times: 3 },
  { on: 'query', fault: 'encoded', compressed: false, times: 3 },
  { on: 'download', fault: 'encoded', encoding: 'br', times: 2 },
  { on: 'download', fault: 'stall' },
  { on: 'download', fault: 'redirect', location: 'http://169.254.169.254/latest/meta-data', times: 2 },
];

/** Images that are no server's, but somebody else's files, or absurd. */
const REFERENCES = [
  'asset:references/../../../etc/passwd',
  'asset:references/a\0b.png',
  'asset:..\\..\\x.png',
  `asset:references/${'f'.repeat(64)}.png`,
  'http://127.0.0.1:1/%00/../..//a.png',
  'http://[::ffff:169.254.169.254]/latest/meta-data',
  'oss://nobody/has/this.png',
  `data:image/png;base64,${'A'.repeat(250_000)}`,
];

const INPUTS: readonly (readonly [string, () => unknown])[] = [
  [WorkflowType.salvageVideo, () => ({ purchase: { key: { toString: 1 }, n: 'x' }, task: null })],
  [WorkflowType.deliverWebhook, () => null],
  [WorkflowType.accountSlots, () => ({ limit: 'many' })],
  [WorkflowType.videoBatch, () => ({ items: BRACKETS })],
  [WorkflowType.videoBatch, () => manyLabels(10_000, 90)],
  [WorkflowType.videoGenerate, () => null],
];

const TARGETS = ['//', '//[', '/%', 'http://[', '*', `/${'a'.repeat(10_000)}`];
const GARBAGE = [
  '\0',
  'GET\r\n\r\n',
  '\x16\x03\x01\x02\0\x01\0',
  'x'.repeat(20_000),
  `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(10_000)}\r\n`,
];

/** Temporal takes no message above 2 MB. */
const isShort = (item: object): boolean => JSON.stringify(item).length < 100_000;

/** A tenant that sends everything that is hostile, in an endless round, until it is stopped. */
export interface HostileTenant {
  /** How often it has done what, by kind. */
  readonly done: ReadonlyMap<string, number>;
  /** Another run that it sends messages to. */
  aimAt(workflowId: string): void;
  /** Ends the rounds; its runs and servers are still there. */
  stop(): Promise<void>;
  /** Cancels the runs of its own that still go on. */
  cancelRuns(): Promise<void>;
  close(): void;
}

export interface HostileTenantOptions {
  readonly stack: Stack;
  readonly emulator: EmulatorProcess;
  /** Metrics ports of the workers. */
  readonly metrics: readonly string[];
}

export async function startHostileTenant({ stack, emulator, metrics }: HostileTenantOptions): Promise<HostileTenant> {
  const { client, config, videos } = stack;
  const taskQueue = config.taskQueues.generate;
  const done = new Map<string, number>();
  const count = (kind: string, by = 1) => done.set(kind, (done.get(kind) ?? 0) + by);
  const targets = new Set<string>([slotsWorkflowId(config.provider.providerId, config.provider.account)]);
  const results = await serveResults();
  const servers = await Promise.all(Object.values(HOSTILE_SERVERS).map(startHostileServer));
  const silent = await startHostileServer(() => undefined);
  let isOver = false;
  const stopping = new AbortController();
  const pause = (ms: number) => delay(ms, undefined, { signal: stopping.signal }).catch(() => undefined);

  const start = (type: string, input: unknown) =>
    client.workflow.start(type, { workflowId: `${PREFIX}..//${randomUUID()}`, taskQueue, args: [input] });
  const request = (change: object) => ({ ...stack.request(`hostile ${randomUUID()}`), tenant: TENANT, ...change });
  /** Starts a generation of the tenant's own, with faults at its requests. */
  const generate = async (faults: readonly Omit<EmulatorFault, 'match'>[], change: object = {}): Promise<string> => {
    const own = request(change);
    const matching = faults.map((fault) => ({ ...fault, match: own.prompt }) as EmulatorFault);
    if (matching.length > 0) await emulator.queueFaults(matching);
    const { workflowId } = await start(WorkflowType.videoGenerate, own);
    return workflowId;
  };

  /** Does one of a list after the other, in rounds. */
  const rounds = async <T>(list: readonly T[], act: (one: T) => Promise<unknown>, everyMs = 0): Promise<void> => {
    for (let at = 0; !isOver; at = (at + 1) % list.length) {
      await act(list[at] as T);
      if (everyMs > 0) await pause(everyMs);
    }
  };

  const sendRequests = () =>
    rounds(HOSTILE_REQUESTS, async ({ change }) => {
      const run = await start(WorkflowType.videoGenerate, change(stack.request('')));
      await run.result().catch(() => undefined);
      count('requests');
    });
  const sendInputs = () =>
    rounds(
      INPUTS,
      async ([type, input]) => {
        const run = await start(type, input());
        await Promise.race([run.result().catch(() => undefined), pause(5_000)]);
        count('inputs of workflows');
      },
      500,
    );
  const sendAll = async (id: string) => {
    for (const name of [...SIGNALS, 'noSuchSignal', '__proto__']) {
      await Promise.all(HOSTILE_ARGUMENTS.map((given) => sendSignal(client, id, name, given).catch(() => undefined)));
      count('signals', HOSTILE_ARGUMENTS.length);
    }
  };
  const askAll = async (id: string) => {
    for (const name of [PROGRESS_QUERY, SLOTS_QUERY, BUDGET_QUERY, '__proto__', '__stack_trace', 'x'.repeat(10_000)]) {
      await Promise.all(HOSTILE_ARGUMENTS.map((given) => sendQuery(client, id, name, given).catch(() => undefined)));
      count('queries', HOSTILE_ARGUMENTS.length);
    }
    for (const name of [REQUEST_SLOT_SIGNAL, '__proto__']) {
      await Promise.all(HOSTILE_ARGUMENTS.map((given) => sendUpdate(client, id, name, given).catch(() => undefined)));
      count('updates', HOSTILE_ARGUMENTS.length);
    }
  };
  /** Each message once to each run, as soon as the run is known. */
  const sendMessages = async () => {
    const reached = new Set<string>();
    while (!isOver) {
      const id = [...targets].find((target) => !reached.has(target));
      if (id === undefined) await pause(200);
      else {
        reached.add(id);
        await Promise.all([sendAll(id), askAll(id)]);
      }
    }
  };
  const flood = async () => {
    // Its image does not come, so that it is there for long enough.
    const id = await generate([], { reference_image: `${silent.url}/a.png` });
    const startedMs = Date.now();
    let sent = 0;
    const lane = async () => {
      while (sent < FLOOD.signals) {
        const due = ((Date.now() - startedMs) / FLOOD.ms) * FLOOD.signals;
        if (sent >= due) await delay(50);
        else {
          sent += 1;
          await sendSignal(client, id, SIGNALS[sent % SIGNALS.length] ?? '', [jsonPayload('null')]).catch(
            () => undefined,
          );
          count('signals to one run');
        }
      }
    };
    await Promise.all(Array.from({ length: FLOOD.atOnce }, lane));
    done.set('ms for the signals to one run', Date.now() - startedMs);
  };
  const sendImages = async () => {
    const urls = servers.map(({ url }) => `${url}/a.png`);
    await rounds(
      [...urls, ...REFERENCES],
      async (reference_image) => {
        await generate([], { reference_image });
        count('images');
      },
      1_000,
    );
  };
  const sayMuch = () =>
    rounds(
      MESSAGES,
      async (fault) => {
        await generate([fault]);
        count('answers of the provider');
      },
      4_000,
    );
  const sendResults = () =>
    rounds(
      [...Object.keys(HOSTILE_RESULTS), PAGE_INSTEAD],
      async (name) => {
        const changes = [{ kind: 'set' as const, path: 'output.video_url', value: results.urlOf(name) }];
        const times = name === PAGE_INSTEAD ? 6 : null;
        await generate([{ on: 'query', fault: 'drift', changes, times }]);
        count('results');
      },
      4_000,
    );
  const sendBatches = () =>
    rounds(
      [0, 1],
      async () => {
        const items = HOSTILE_REQUESTS.map(({ change }) => change(stack.request(''))).filter(isShort);
        await start(WorkflowType.videoBatch, { items, allow_invalid: true });
        count('batches');
      },
      5_000,
    );
  const askMetrics = async () => {
    const texts = [
      ...TARGETS.map((target) => `GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`),
      ...GARBAGE,
    ];
    await rounds(
      metrics.flatMap((address) => texts.map((text) => ({ address, text }))),
      async ({ address, text }) => {
        const [host, port] = address.split(':');
        const socket = connect(Number(port), host).on('error', () => undefined);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        socket.resume().setTimeout(2_000, () => socket.destroy());
        socket.write(text, 'latin1');
        await closed;
        count('requests to the metrics port');
      },
      100,
    );
  };

  const lanes = [
    ...Array.from({ length: REQUESTS_AT_ONCE }, sendRequests),
    ...[sendInputs(), sendMessages(), flood(), sendImages(), sayMuch(), sendResults(), sendBatches(), askMetrics()],
  ];
  return {
    done,
    aimAt: (workflowId) => void targets.add(workflowId),
    async stop() {
      isOver = true;
      stopping.abort();
      await Promise.all(lanes);
    },
    async cancelRuns() {
      const query = 'ExecutionStatus = "Running" AND WorkflowType = "videoGenerate"';
      for await (const { workflowId } of client.workflow.list({ query })) {
        if (!workflowId.startsWith(PREFIX)) continue;
        await videos.cancel(workflowId, 'the test has ended').catch(() => undefined);
      }
    },
    close() {
      results.close();
      for (const { close } of [...servers, silent]) close();
    },
  };
}

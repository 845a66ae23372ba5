import { FailureType } from '../../src/contract/failure-type.js';
import { MODEL } from '../../src/contract/model.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { CreateTaskOptions } from '../../src/dashscope/client.js';
import type { CreateTaskRequest } from '../../src/dashscope/request-body.js';
import { decideSubmitOutcome, type SubmitOutcome } from '../../src/dashscope/submit-outcome.js';
import type { TaskPage, TaskSnapshot, TaskStatus } from '../../src/dashscope/wire.js';
import type { CandidateVideo } from '../../src/ledger/evidence.js';
import type { Process, Simulation } from './simulation.js';

const DAY_MS = 86_400_000;
/** Whole-call bound of the real client. */
const POST_MS = 20_000;

/** One paid task. */
/** Results of tasks, by the last digit of the millisecond at which they were created. */
const RESULTS: readonly SimTask['result'][] = ['no video', 'out of reach'];

export interface SimTask {
  readonly id: string;
  /** Purchase key it was bought for; undefined for other software's. */
  readonly key: string | undefined;
  readonly prompt: string;
  readonly width: number;
  readonly height: number;
  readonly createdAtMs: number;
  readonly startsAtMs: number;
  readonly endsAtMs: number;
  readonly fails: boolean;
  /** What is wrong with its result: it is no video, or it cannot be downloaded for hours. */
  readonly result: 'video' | 'no video' | 'out of reach';
  readonly listedAtMs: number;
  /** Bought by a POST that left after its last check: the documented exception. */
  readonly stalled: boolean;
  cancelled: boolean;
}

export interface ProviderFaults {
  readonly replyLost: number;
  readonly requestLost: number;
  readonly notSent: number;
  /** The process stops while it connects, before its last check. */
  readonly connectStall: number;
  readonly throttled: number;
  readonly rejected: number;
  readonly queryRefused: number;
  readonly listRefused: number;
  readonly taskFails: number;
  readonly listLagMaxMs: number;
  /** How long a process may stop between its last check and the socket. */
  readonly socketStallMaxMs: number;
}

/** What a request shows of its image: a simulated one names its own purchase key and size. */
export const imageAddress = (key: string, width: number, height: number): string => `sim:${key}:${width}:${height}`;

/** The provider's side: what exists, known to a client or not. */
export class SimProvider {
  readonly tasks: SimTask[] = [];
  readonly #sim: Simulation;
  readonly #faults: () => ProviderFaults;
  readonly #onCreated: (task: SimTask) => void;

  constructor(sim: Simulation, faults: () => ProviderFaults, onCreated: (task: SimTask) => void) {
    this.#sim = sim;
    this.#faults = faults;
    this.#onCreated = onCreated;
  }

  create(what: Pick<SimTask, 'key' | 'prompt' | 'width' | 'height'>, stalled: boolean): SimTask {
    const { random, nowMs } = this.#sim;
    const { taskFails, listLagMaxMs } = this.#faults();
    const startsAtMs = nowMs + (random.chance(0.3) ? random.between(1_000, 120_000) : 40);
    const task: SimTask = {
      ...what,
      id: `task-${this.tasks.length + 1}`,
      createdAtMs: nowMs,
      startsAtMs,
      endsAtMs: startsAtMs + random.between(30_000, 300_000),
      fails: random.chance(taskFails),
      // By the moment, so that schedules do not depend on it.
      result: RESULTS[nowMs % 10] ?? 'video',
      listedAtMs: nowMs + random.between(0, listLagMaxMs),
      stalled,
      cancelled: false,
    };
    this.tasks.push(task);
    this.#onCreated(task);
    return task;
  }

  statusOf(task: SimTask): TaskStatus {
    const { nowMs } = this.#sim;
    if (nowMs - task.createdAtMs > DAY_MS) return 'UNKNOWN';
    if (task.cancelled) return 'CANCELED';
    if (nowMs < task.startsAtMs) return 'PENDING';
    if (nowMs < task.endsAtMs) return 'RUNNING';
    return task.fails ? 'FAILED' : 'SUCCEEDED';
  }

  /** What one process sees of it. */
  client(process: Process) {
    const sim = this.#sim;
    const { random } = sim;
    const faults = this.#faults;
    const refused = (chance: number) => {
      if (!random.chance(chance)) return undefined;
      return random.chance(0.5)
        ? new VideoError(FailureType.CredentialsRejected, '401')
        : new VideoError(FailureType.ProviderUnavailable, '500', { retryable: true });
    };
    const find = (id: string) => this.tasks.find((task) => task.id === id);
    return {
      keyFingerprint: async () => 'key-1',

      createTask: async (body: CreateTaskRequest, options: CreateTaskOptions = {}): Promise<SubmitOutcome> => {
        const chances = faults();
        // Connecting: the process may stop here for any time, and the check comes after.
        if (random.chance(chances.connectStall)) process.stalledUntilMs = sim.nowMs + random.between(1_000, 600_000);
        await process.operation(() => undefined);
        if (random.chance(chances.notSent)) return decideSubmitOutcome({ bodyPulled: false, fault: 'ECONNREFUSED' });
        if (options.mayStillSend?.() === false) return decideSubmitOutcome({ bodyPulled: false, fault: 'too late' });
        const [, key, width, height] = body.input.img_url.split(':');
        const stallMs = random.chance(0.3) ? random.between(0, chances.socketStallMaxMs) : 0;
        const requestLost = random.chance(chances.requestLost);
        const code = random.chance(chances.throttled)
          ? { status: 429, code: 'Throttling' }
          : random.chance(chances.rejected)
            ? { status: 400, code: 'DataInspectionFailed' }
            : undefined;
        const send = new Promise<SubmitOutcome>((answer) => {
          sim.at(sim.nowMs + stallMs + random.between(20, 2_000), () => {
            if (requestLost) return;
            let outcome: SubmitOutcome;
            if (code === undefined) {
              const size = { width: Number(width), height: Number(height) };
              const { id } = this.create({ key, prompt: body.input.prompt, ...size }, stallMs > 0);
              const json = { output: { task_id: id }, request_id: `r-${id}` };
              outcome = decideSubmitOutcome({ bodyPulled: true, answer: { status: 200, json } });
            } else {
              outcome = decideSubmitOutcome({
                bodyPulled: true,
                answer: { status: code.status, json: { code: code.code } },
              });
            }
            if (random.chance(chances.replyLost)) return;
            process.resume(sim.nowMs + random.between(20, 2_000), () => answer(outcome));
          });
        });
        const bound = new Promise<SubmitOutcome>((answer) => {
          process.resume(sim.nowMs + stallMs + random.between(500, POST_MS), () =>
            answer(decideSubmitOutcome({ bodyPulled: true, fault: 'lost' })),
          );
        });
        return Promise.race([send, bound]);
      },

      queryTask: (taskId: string): Promise<TaskSnapshot> =>
        process.operation(
          () => {
            const task = find(taskId);
            const status = task === undefined ? 'UNKNOWN' : this.statusOf(task);
            if (task === undefined || status !== 'SUCCEEDED') return { taskId, status, requestId: 'q' };
            return {
              taskId,
              status,
              requestId: 'q',
              origPrompt: task.prompt,
              videoUrl: 'https://video',
              endTimeMs: task.endsAtMs,
              usage: { duration: 4, sr: 720, audio: false },
            };
          },
          { refusedAs: refused(faults().queryRefused) },
        ),

      listTasks: ({ pageNo }: { readonly pageNo: number }): Promise<TaskPage> =>
        process.operation(
          () => {
            const pageSize = 4; // smaller than requested
            const listed = this.tasks
              .filter((task) => task.listedAtMs <= sim.nowMs && sim.nowMs - task.createdAtMs <= DAY_MS)
              .reverse();
            return {
              total: listed.length,
              pageNo,
              unreadable: 0,
              totalPages: Math.ceil(listed.length / pageSize),
              tasks: listed.slice((pageNo - 1) * pageSize, pageNo * pageSize).map((task) => ({
                taskId: task.id,
                status: this.statusOf(task),
                modelName: MODEL,
                createdAtMs: task.createdAtMs,
              })),
            };
          },
          { refusedAs: refused(faults().listRefused) },
        ),

      cancelTask: (taskId: string): Promise<boolean> =>
        process.operation(() => {
          const task = find(taskId);
          if (task === undefined || this.statusOf(task) !== 'PENDING') return false;
          task.cancelled = true;
          return true;
        }),

      archiveCandidate: (seen: TaskSnapshot): Promise<CandidateVideo> =>
        process.operation(() => {
          const { width, height } = find(seen.taskId)!;
          const { duration: durationSeconds = 4, audio: hasAudio = false } = seen.usage ?? {};
          const lines = Math.sqrt(921_600 / (width / height));
          const floor = (side: number) => Math.floor(side / 2) * 2;
          return {
            key: `candidates/${seen.taskId}.mp4`,
            width: floor((lines * width) / height),
            height: floor(lines),
            durationSeconds,
            hasAudio,
          };
        }),
    };
  }
}

export type SimClient = ReturnType<SimProvider['client']>;

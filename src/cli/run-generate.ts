import { WanVideoClient } from '../client/video-client.js';
import type { VideoRequest } from '../contract/request.js';
import { invalidRequest } from '../contract/validate.js';
import type { Issue } from '../contract/video-error.js';
import type { CommandContext, ConnectedTemporal } from './context.js';
import { dryRun } from './dry-run.js';
import { type Interrupts, unlessInterrupted, withInterrupts } from './interrupts.js';
import { type RequestFlags, type RequestInput, readRequestInput } from './request-input.js';
import { type WaitFlags, waitForResult, waitIssues, warnIfNoWorker, workersFor } from './wait-for-result.js';

/** Flags of `wan-video generate`. */
export interface GenerateFlags extends RequestFlags, WaitFlags {
  readonly id?: string;
  readonly dryRun?: boolean;
}

const NOTHING_SENT = 'Interrupted before anything was sent.';

/** Runs one generation: checks everything, then connects, stages, starts and waits. */
export async function runGenerate(flags: GenerateFlags, context: CommandContext): Promise<number> {
  return withInterrupts(context.io, async (interrupts) => {
    const { first } = interrupts;
    const early = <T>(work: Promise<T>): Promise<T> => unlessInterrupted(work, first, NOTHING_SENT);
    const draft = await early(readRequestInput(flags, context.io, first));
    try {
      const issues = [...draft.issues, ...(await flagIssues(flags, context.io.cwd))];
      if (issues.length > 0) throw invalidRequest(issues);
      if (draft.local !== undefined) await context.stagingStore(); // refused before six seconds of connecting
      return await context.temporal((temporal) => generate(flags, draft, temporal, context, interrupts), early);
    } finally {
      await draft.local?.dispose();
    }
  });
}

async function flagIssues({ id, output, detach, dryRun: dry }: GenerateFlags, cwd: string): Promise<Issue[]> {
  const issues = await waitIssues({ output, detach }, cwd);
  if (id !== undefined && (id.trim() === '' || /\p{Cc}/u.test(id) || Buffer.byteLength(id) > ID_BYTES_MAX)) {
    issues.push({ path: 'id', message: `must be 1 to ${ID_BYTES_MAX} bytes of text without control characters` });
  }
  if (detach && dry)
    issues.push({ path: 'detach', message: 'starts a run, which --dry-run does not; leave one of them out' });
  return issues;
}

/** Temporal's own limit of an id (`limit.maxIDLength`, 1000), less what is put before it for files and children. */
const ID_BYTES_MAX = 900;

async function generate(
  flags: GenerateFlags,
  draft: RequestInput,
  temporal: ConnectedTemporal,
  context: CommandContext,
  interrupts: Interrupts,
): Promise<number> {
  const early = <T>(work: Promise<T>): Promise<T> => unlessInterrupted(work, interrupts.first, NOTHING_SENT);
  const { client } = temporal;
  const config = await context.config();
  const store = await context.store();
  const taskQueue = config.taskQueues.generate;

  const pollers = await early(workersFor(temporal, taskQueue, context));
  if (flags.dryRun) return dryRun(flags, draft, { client, config, pollers }, context);
  warnIfNoWorker(pollers, taskQueue, temporal, context, flags);

  const { local } = draft;
  const reference =
    local === undefined ? draft.reference : await early(local.stage(store, { signal: interrupts.first }));
  const videos = new WanVideoClient({ client, taskQueue, store });
  const request = { ...draft.fields, reference_image: reference } as VideoRequest;
  const started = await videos.start(request, { id: flags.id });
  const remark = started.joined
    ? `Joined ${started.id}, which an equal request had started.${
        request.deadline_seconds === undefined ? '' : '\nIts own deadline holds, not that of this command.'
      }`
    : `Started ${started.id}.`;
  return waitForResult(videos, started, flags, { store, context, interrupts, remark });
}

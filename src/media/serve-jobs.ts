/** A job that has no answer. */
export type Unanswered =
  /** It did not end, through its file or through our limits; a phrase that follows "it". */
  | { readonly kind: 'unfinished'; readonly reason: string }
  /** The process cannot run, through no fault of the file; a phrase that follows its name. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/** What a process says to its parent. */
export type ChildMessage<Answer> = Answer | Unanswered | { readonly kind: 'ready' | 'spent' };

/** How often the process looks at its memory: a picture of 20 megapixels takes some 100 ms. */
const LOOK_MS = 20;

/**
 * Makes this process one that works for another, one job at a time; see `child-processes.ts`. The first argument of the
 * process is the limit of its memory.
 * @param run - Does a job; it must not reject.
 */
export function serveJobs<Job, Answer extends { readonly kind: string }>(run: (job: Job) => Promise<Answer>): void {
  // A terminal's signals go to all of its processes: the parent decides when this one ends.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('disconnect', () => process.exit(0));
  process.on('message', (job: Job) => {
    const watch = watchMemory();
    void run(job).then((answer) => {
      clearInterval(watch);
      if (isSpent()) send<Answer>({ kind: 'spent' });
      send<Answer>(answer);
    });
  });
  send<Answer>({ kind: 'ready' });
}

const MEGABYTE = 1024 * 1024;
/** The limit of this process's memory in megabytes; undefined: only the heap's limit holds. */
const limit = process.argv[2] === undefined ? undefined : Number(process.argv[2]);

/** Whether so much memory was not given back that the next job might be refused for it. */
function isSpent(): boolean {
  if (limit === undefined) return false;
  globalThis.gc?.();
  return process.memoryUsage.rss() > (limit * MEGABYTE) / 2;
}

/** Ends the process when native code, which V8's limit does not cover, takes more than it may. */
function watchMemory(): NodeJS.Timeout | undefined {
  if (limit === undefined) return undefined;
  return setInterval(() => {
    if (process.memoryUsage.rss() <= limit * MEGABYTE) return;
    send({ kind: 'unfinished', reason: `needs more than ${limit} MB of memory` }, () => process.exit(1));
  }, LOOK_MS);
}

function send<Answer>(message: ChildMessage<Answer>, onSent: () => void = () => undefined): void {
  process.send?.(message, undefined, undefined, onSent);
}

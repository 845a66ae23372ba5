import { randomUUID } from 'node:crypto';
import type { Clock } from '../async/clock.js';
import { MODEL } from '../contract/model.js';
import type { Answers, QuestionId } from './questions.js';
import { NOT_SEEN } from './record.js';
import { type AskOptions, type Exchange, type LiveWire, member, outcomeOf, redacted, textOf } from './wire.js';

/** What the questions need. */
export interface AskDeps {
  readonly wire: LiveWire;
  readonly answers: Answers;
  readonly clock: Clock;
  /** Between two queries of a task. */
  readonly pollEveryMs: number;
  readonly signal: AbortSignal;
}

const SUBMIT = '/services/aigc/video-generation/video-synthesis';
/** Four submits a second, of the account's five. */
const SUBMIT_GAP_MS = 250;
/** An image of 20 MB, the provider's largest, in base64. */
const LARGE_BYTES = 28_000_000;
/** Time to send it at 2 Mbit/s. */
const LARGE_MS = 120_000;
/** A task with invalid fields fails within seconds; one that does not was accepted as valid. */
const FAILS_WITHIN_MS = 120_000;
/** Twice the account's limit of queries per second. */
const BURST = 40;
/** After this pause the account has its whole rate again. */
const BURST_REST_MS = 1_500;
/** If the provider accepts an invalid body after all, it is for the cheapest video. */
const CHEAP = { resolution: '720P', duration: 2, audio: false } as const;
const PROMPT = 'a calm lake';
/** Claims to be a PNG and is not, so that no video can be made from it. */
const damagedImage = (bytes: number): string => `data:image/png;base64,${'A'.repeat(bytes)}`;

/** The provider makes, or may make, a video from an invalid request. It may be billed, so the check stops. */
export class UnexpectedTask extends Error {
  readonly taskId: string;

  /** @param status - The task's last status. */
  constructor(taskId: string, status: string) {
    super(`task ${taskId} of an invalid request is ${status} and may be billed; check the provider's console`);
    this.taskId = taskId;
  }
}

/** Submits without a usable image, so that no video can be made from them. */
class InvalidSubmits {
  readonly #deps: AskDeps;

  constructor(deps: AskDeps) {
    this.#deps = deps;
  }

  async send(body: Record<string, unknown>, options: AskOptions = {}): Promise<Exchange> {
    const { wire, clock, signal } = this.#deps;
    await clock.sleep(SUBMIT_GAP_MS, signal);
    const headers = { 'content-type': 'application/json', 'x-dashscope-async': 'enable', ...options.headers };
    return wire.ask(SUBMIT, { ...options, method: 'POST', headers, body: JSON.stringify(body), signal });
  }

  /** Follows a submit to its end: the refusal, or the end of the task that it created. */
  async follow(exchange: Exchange): Promise<{ readonly answer: string; readonly end: Exchange }> {
    const taskId = textOf(exchange, 'output', 'task_id');
    if (taskId === undefined) return { answer: `${outcomeOf(exchange)} at the submit`, end: exchange };
    const { wire, clock, pollEveryMs, signal } = this.#deps;
    for (const untilMs = clock.now() + FAILS_WITHIN_MS; ; await clock.sleep(pollEveryMs, signal)) {
      const seen = await wire.ask(`/tasks/${taskId}`, { signal });
      const status = textOf(seen, 'output', 'task_status') ?? '';
      if (status === 'SUCCEEDED') throw new UnexpectedTask(taskId, status);
      if (status !== 'PENDING' && status !== 'RUNNING' && 'json' in seen && seen.status === 200) {
        const code = textOf(seen, 'output', 'code');
        return { answer: `accepted, then ${status}${code === undefined ? '' : ` ${code}`}`, end: seen };
      }
      if (clock.now() > untilMs) throw new UnexpectedTask(taskId, status || outcomeOf(seen));
    }
  }
}

/**
 * Asks everything that costs nothing. Refused requests are not billed, and the invalid ones here have no usable image.
 * @throws UnexpectedTask when the provider makes a video after all.
 */
export async function askFree(deps: AskDeps): Promise<void> {
  const { wire, answers, signal } = deps;
  const put = (id: QuestionId, exchange: Exchange): void => answers.give(id, outcomeOf(exchange), redacted(exchange));
  const get = (path: string, options: AskOptions = {}): Promise<Exchange> => wire.ask(path, { ...options, signal });
  put('unknown_task', await get(`/tasks/${randomUUID()}`));
  put('malformed_task', await get('/tasks/no-such-id'));
  put('cancel_unknown', await get(`/tasks/${randomUUID()}/cancel`, { method: 'POST' }));
  put('refused_key', await get(`/tasks/${randomUUID()}`, { headers: { authorization: 'Bearer sk-none-0000000000' } }));
  await askList(deps);
  const policy = await get(`/uploads?action=getPolicy&model=${MODEL}`);
  const [life, size] = ['expire_in_seconds', 'max_file_size_mb'].map((name) =>
    'json' in policy ? member(policy.json, 'data', name) : undefined,
  );
  answers.give('upload_policy', life === undefined ? outcomeOf(policy) : `${life} s, ${size} MB`, redacted(policy));
  await askSubmits(deps);
  await askThrottle(deps);
}

async function askList({ wire, answers, signal }: AskDeps): Promise<void> {
  const list = await wire.ask(`/tasks/?model_name=${MODEL}&page_no=1&page_size=500`, { signal });
  answers.give('list', 'json' in list && list.status === 200 ? 'yes' : `no: ${outcomeOf(list)}`, redacted(list));
  const size = 'json' in list ? member(list.json, 'page_size') : undefined;
  answers.give('list_page', typeof size === 'number' ? `${size} of 500 requested` : NOT_SEEN, size ?? null);
}

async function askSubmits(deps: AskDeps): Promise<void> {
  const { answers } = deps;
  const submits = new InvalidSubmits(deps);
  const input = { prompt: PROMPT };
  const body = { model: MODEL, input, parameters: CHEAP };
  const ask = async (id: QuestionId, exchange: Exchange): Promise<Exchange> => {
    const { answer, end } = await submits.follow(exchange);
    answers.give(id, answer, redacted(end));
    return end;
  };
  await ask('no_async', await submits.send(body, { headers: { 'x-dashscope-async': 'disable' } }));
  await ask('unknown_model', await submits.send({ ...body, model: 'no-such-model' }));
  await ask('missing_image', await submits.send(body));

  const undocumented = { size: '1280*720', fps: 24, motion_strength: 1 };
  const parameters = { ...CHEAP, resolution: 'none', ...undocumented };
  const { end } = await submits.follow(await submits.send({ ...body, parameters }));
  const message = textOf(end, 'message') ?? textOf(end, 'output', 'message') ?? '';
  const both = ['img_url', 'resolution'].filter((name) => message.includes(name));
  answers.give('all_faults', both.length === 2 ? 'yes' : `no: ${both.join(', ') || 'neither'}`, redacted(end));
  const refused = Object.keys(undocumented).filter((name) => message.includes(name));
  // A provider that reports one fault at a time has not judged the other fields.
  const known = both.length === 2 || refused.length > 0;
  answers.give('undocumented', known ? (refused.length === 0 ? 'no' : `yes: ${refused.join(', ')}`) : NOT_SEEN);

  const withImage = (bytes: number) => ({ ...body, input: { ...input, img_url: damagedImage(bytes) } });
  const small = await submits.follow(await submits.send(withImage(4_000)));
  answers.give('damaged_image', small.answer, redacted(small.end));
  const large = await submits.follow(await submits.send(withImage(LARGE_BYTES), { timeoutMs: LARGE_MS }));
  answers.give('large_body', large.answer === small.answer ? 'yes' : large.answer, redacted(large.end));
}

/** Exceeds the limit of queries for one second, which also throttles other programs of this account in that second. */
async function askThrottle({ wire, answers, clock, signal }: AskDeps): Promise<void> {
  const burst = await Promise.all(Array.from({ length: BURST }, () => wire.ask(`/tasks/${randomUUID()}`, { signal })));
  const refused = burst.find(({ status }) => status === 429);
  const after = refused !== undefined && 'headers' in refused ? refused.headers['retry-after'] : undefined;
  const answer =
    refused === undefined
      ? NOT_SEEN
      : `${outcomeOf(refused)}, ${after === undefined ? 'no Retry-After' : 'with a Retry-After'}`;
  const counts = { sent: BURST, refused: burst.filter(({ status }) => status === 429).length };
  answers.give('throttle', answer, refused === undefined ? counts : { ...counts, answer: redacted(refused) });
  const limits = [...wire.headerNames].filter((name) => /rate-?limit|retry-after|quota/.test(name)).sort();
  answers.give('rate_headers', limits.join(', ') || 'none', [...wire.headerNames].sort());
  await clock.sleep(BURST_REST_MS, signal);
}

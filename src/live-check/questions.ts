import type { LiveAnswer } from './record.js';

type Question = Pick<LiveAnswer, 'question' | 'kind' | 'emulator'>;

const behaviour = (question: string, emulator: string | null = null): Question => ({
  question,
  kind: 'behaviour',
  emulator,
});
const measure = (question: string): Question => ({ question, kind: 'measure', emulator: null });

/** Every question that a live check asks, in its order; docs/going-live.md says why each matters. */
const QUESTIONS = {
  unknown_task: behaviour('What is the answer to a query of a task that does not exist?'),
  malformed_task: behaviour('What is the answer to a query with a malformed task id?'),
  cancel_unknown: behaviour('What is the answer to the cancel of a task that does not exist?'),
  refused_key: behaviour('What is the answer to an invalid key?', 'api_keys'),
  list: behaviour('Does the account list its tasks?', 'list_refused'),
  list_page: behaviour('How large is a page of the list?', 'list_page_max'),
  upload_policy: behaviour('How long is an upload policy valid, and for how large a file?'),
  no_async: behaviour('What is the answer to a submit without X-DashScope-Async?'),
  unknown_model: behaviour('What is the answer to an unknown model?', 'models'),
  missing_image: behaviour('Where does an invalid field surface: at the submit, or as a failed task?', 'validation'),
  all_faults: behaviour('Are all invalid fields reported at once?'),
  undocumented: behaviour('Are size, fps and motion_strength reported as invalid?', 'unknown_parameters'),
  damaged_image: behaviour('What is the answer to a damaged image?', 'validation'),
  large_body: behaviour('Is a body of 28 MB, an image of 20 MB as a data URI, accepted?', 'body_max_bytes'),
  throttle: behaviour(
    'What is the answer above 20 queries per second, and does it have a Retry-After?',
    'throttle_code',
  ),
  rate_headers: behaviour('Which headers describe limits?'),
  accepted: behaviour('Is a request with size and fps accepted?', 'unknown_parameters'),
  first_state: measure('Which state does a task have right after its submit?'),
  list_lag: behaviour(
    'Does the list show a new task within the two minutes that the ledger allows for?',
    'list_lag_ms',
  ),
  list_delay: measure('After how long, in milliseconds?'),
  list_order: behaviour('In which order is the list?', 'list_order'),
  list_zone: behaviour('In which time zone are start_time and end_time of the list?', 'list_utc_offset_hours'),
  cancel_running: behaviour('What is the answer to the cancel of a running task?'),
  states: measure('Which states did the task have, and when, in milliseconds?'),
  task_zone: behaviour('In which time zone are the times of a task?'),
  orig_prompt: behaviour('Is the prompt returned as it was sent?', 'orig_prompt'),
  usage: behaviour('What does usage report for two silent seconds at 720P?'),
  cancel_done: behaviour('What is the answer to the cancel of a task that has ended?'),
  link_life: behaviour('How long after its end is the link of a result valid?'),
  link_range: behaviour('Does the link support ranges, and which content type does it have?'),
  link_unsigned: behaviour('What is the answer to the link without its signature?'),
  multiple: behaviour('Of which number are width and height of the video multiples?', 'geometry_multiple'),
  video: behaviour('How many frames per second and seconds does the video have, and does it have sound?'),
  wall_time: measure('How many seconds pass from the submit to the end of the task?'),
} as const satisfies Record<string, Question>;

/** Name of a question. */
export type QuestionId = keyof typeof QUESTIONS;

/** Collects the answers. */
export class Answers {
  readonly #given = new Map<QuestionId, LiveAnswer>();
  readonly #onAnswer: (answer: LiveAnswer) => void;

  /** @param onAnswer - Called with each answer at once. */
  constructor(onAnswer: (answer: LiveAnswer) => void) {
    this.#onAnswer = onAnswer;
  }

  /** @param seen - Redacted. */
  give(id: QuestionId, answer: string, seen: unknown = null): void {
    const given: LiveAnswer = { id, ...QUESTIONS[id], answer, seen };
    this.#given.set(id, given);
    this.#onAnswer(given);
  }

  /** In the order of the questions. */
  all(): LiveAnswer[] {
    const ids = Object.keys(QUESTIONS) as QuestionId[];
    return ids.flatMap((id) => this.#given.get(id) ?? []);
  }
}

import type { LiveAnswer } from './record.js';

interface Question extends Pick<LiveAnswer, 'question' | 'kind' | 'emulator'> {}

const behaviour = (question: string, emulator: string | null = null): Question => ({
  question,
  kind: 'behaviour',
  emulator,
});
const measure = (question: string): Question => ({ question, kind: 'measure', emulator: null });

/** Every question that a live check asks, in its order; docs/going-live.md says why each matters. */
export const QUESTIONS = {
  unknown_task: behaviour('What is said of a task that nobody has made?'),
  malformed_task: behaviour('What is said of an id that is none?'),
  cancel_unknown: behaviour('What is said to the cancel of a task that nobody has made?'),
  refused_key: behaviour('What is said to a key that is none?', 'api_keys'),
  list: behaviour('Does the account list its tasks?', 'list_refused'),
  list_page: behaviour('How large a page of the list is given?', 'list_page_max'),
  upload_policy: behaviour('How long is an upload policy valid, and for how large a file?'),
  no_async: behaviour('What is said to a submit without X-DashScope-Async?'),
  unknown_model: behaviour('What is said to an unknown model?', 'models'),
  missing_image: behaviour('Where does a wrong field surface: at the submit, or as a failed task?', 'validation'),
  all_faults: behaviour('Are all wrong fields told at once?'),
  undocumented: behaviour('Are size, fps and motion_strength called wrong?', 'unknown_parameters'),
  damaged_image: behaviour('What is said to an image that is none?', 'validation'),
  large_body: behaviour('Is a body of 28 MB, an image of 20 MB as a data URI, taken?', 'body_max_bytes'),
  throttle: behaviour('What is said above 20 queries per second, and is there a Retry-After?', 'throttle_code'),
  rate_headers: behaviour('Which headers tell of limits?'),
  accepted: behaviour('Is a request with size and fps taken?', 'unknown_parameters'),
  first_state: measure('Which state has a task right after its submit?'),
  list_lag: behaviour(
    'Does the list show a new task within the two minutes that the ledger allows for?',
    'list_lag_ms',
  ),
  list_delay: measure('After how long, in milliseconds?'),
  list_order: behaviour('In which order is the list?', 'list_order'),
  list_zone: behaviour('In which zone are start_time and end_time of the list?', 'list_utc_offset_hours'),
  cancel_running: behaviour('What is said to the cancel of a task that renders?'),
  states: measure('Which states were seen, and when, in milliseconds?'),
  task_zone: behaviour('In which zone are the times of a task?'),
  orig_prompt: behaviour('Is the prompt returned as it was sent?', 'orig_prompt'),
  usage: behaviour('What does usage say of two silent seconds at 720P?'),
  cancel_done: behaviour('What is said to the cancel of a task that has ended?'),
  link_life: behaviour('How long after its end is the link of a result valid?'),
  link_range: behaviour('Does the link serve ranges, and which type of content?'),
  link_unsigned: behaviour('What is said to the link without its signature?'),
  multiple: behaviour('Width and height of the video are multiples of what?', 'geometry_multiple'),
  video: behaviour('Frames per second, seconds and sound of the video?'),
  wall_time: measure('Seconds from the submit to the end of the task?'),
} as const satisfies Record<string, Question>;

/** Name of a question. */
export type QuestionId = keyof typeof QUESTIONS;

/** Answers as they come in. */
export class Answers {
  readonly #given = new Map<QuestionId, LiveAnswer>();
  readonly #told: (answer: LiveAnswer) => void;

  /** @param told - Hears each answer at once. */
  constructor(told: (answer: LiveAnswer) => void) {
    this.#told = told;
  }

  /** @param seen - Redacted. */
  give(id: QuestionId, answer: string, seen: unknown = null): void {
    const given: LiveAnswer = { id, ...QUESTIONS[id], answer, seen };
    this.#given.set(id, given);
    this.#told(given);
  }

  /** In the order of the questions. */
  all(): LiveAnswer[] {
    const ids = Object.keys(QUESTIONS) as QuestionId[];
    return ids.flatMap((id) => this.#given.get(id) ?? []);
  }
}

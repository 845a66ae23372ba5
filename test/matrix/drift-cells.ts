import type { DriftChange, EmulatorFault } from '../../src/emulator/index.js';
import { BOUGHT, type Expected, type ProviderCell, REQUESTS, refused, SALVAGED, STEPS, type Step } from './cells.js';

type Operation = EmulatorFault['on'];
type Inject = Omit<EmulatorFault, 'on'>;

/** A way in which answers differ from what is documented, at each kind of request whose answer can differ so. */
export interface DriftKind {
  readonly title: string;
  readonly inject: Readonly<Partial<Record<Operation, Inject>>>;
  /** What a step makes of it where it does not end as without the drift. */
  readonly at?: Readonly<Partial<Record<Step, Expected>>>;
}

export const drift = (...changes: DriftChange[]): Inject => ({ fault: 'drift', changes });
/** The same in the answer that shows the end of a task. */
const atEnd = (...changes: DriftChange[]): Inject => ({ ...drift(...changes), task_status: 'SUCCEEDED' });
/** The same fault at each of some requests. */
export const at = (inject: Inject, ...on: Operation[]) =>
  Object.fromEntries(on.map((operation) => [operation, inject]));

const STATUS = 'output.task_status';
export const JSON_ANSWERS = ['policy', 'submit', 'list', 'query', 'cancel'] as const;

export const DRIFT_KINDS: Readonly<Record<string, DriftKind>> = {
  'absent-field': {
    title: 'fields that are not there',
    inject: {
      policy: drift({ kind: 'delete', path: 'data.x_oss_forbid_overwrite' }),
      submit: drift({ kind: 'delete', path: STATUS }),
      list: drift({ kind: 'delete', path: 'data[*].model_name' }),
      query: atEnd({ kind: 'delete', path: 'usage' }),
      cancel: drift({ kind: 'delete', path: 'request_id' }),
    },
  },
  'odd-type': {
    title: 'fields of another type',
    inject: {
      policy: drift({ kind: 'retype', path: 'data.max_file_size_mb', to: 'text' }),
      submit: drift({ kind: 'retype', path: 'request_id', to: 'object' }),
      list: drift(...['total', 'total_page'].map((path): DriftChange => ({ kind: 'retype', path, to: 'text' }))),
      query: atEnd({ kind: 'set', path: 'usage.SR', value: '720P' }),
      cancel: drift({ kind: 'retype', path: 'request_id', to: 'list' }),
    },
  },
  recased: {
    title: 'words in another case',
    inject: {
      submit: drift({ kind: 'recase', path: STATUS, value: 'lower' }),
      list: drift({ kind: 'recase', path: 'data[*].status', value: 'lower' }),
      query: atEnd({ kind: 'recase', path: STATUS, value: 'lower' }),
    },
  },
  nested: {
    title: 'values in a list',
    inject: {
      submit: drift({ kind: 'nest', path: 'request_id' }),
      query: atEnd({ kind: 'nest', path: STATUS }),
    },
  },
  repeated: {
    title: 'members or rows twice',
    inject: {
      submit: drift({ kind: 'duplicate', path: 'request_id' }),
      list: drift({ kind: 'repeat', path: 'data' }),
      query: atEnd({ kind: 'duplicate', path: STATUS, value: 'RUNNING', first: true }),
    },
  },
  'unknown-status': {
    title: 'a status that nobody documents',
    inject: {
      submit: drift({ kind: 'set', path: STATUS, value: 'POST-PROCESSING' }),
      query: atEnd({ kind: 'set', path: STATUS, value: 'POST-PROCESSING' }),
    },
  },
  'no-link': { title: 'no link at first', inject: { query: atEnd({ kind: 'delete', path: 'output.video_url' }) } },
  'link-elsewhere': {
    title: 'the link in another place',
    inject: { query: atEnd({ kind: 'move', path: 'output.video_url', to: 'output.results[0].url' }) },
  },
  'private-link': {
    title: 'a link that our rules refuse',
    inject: { query: atEnd({ kind: 'set', path: 'output.video_url', value: 'https://10.0.0.1/v.mp4' }) },
  },
  'odd-times': {
    title: 'times that cannot be',
    inject: { query: atEnd({ kind: 'shift', path: 'output.end_time', by: 72 * 3_600_000 }) },
  },
  'long-text': {
    title: 'a text of 1 MB',
    inject: { query: atEnd({ kind: 'lengthen', path: 'output.orig_prompt', to: 1_000_000 }) },
  },
  'odd-header': {
    title: 'the wrong content type',
    inject: at({ fault: 'headers', headers: { 'content-type': 'text/html' } }, ...JSON_ANSWERS, 'download'),
  },
  compressed: {
    title: 'compressed unasked',
    inject: at({ fault: 'encoded' }, ...JSON_ANSWERS, 'download'),
  },
  'odd-envelope': {
    title: 'a 401 in another envelope',
    inject: at(
      { fault: 'status', status: 401, code: 'invalid_api_key', message: 'm', envelope: 'error' },
      ...JSON_ANSWERS,
    ),
    at: { upload: refused('CredentialsRejected'), submit: refused('CredentialsRejected') },
  },
  'odd-status': { title: 'HTTP 451', inject: { download: { fault: 'status', status: 451 } } },
  redirected: { title: 'redirected three times', inject: { download: { fault: 'redirect', hops: 3 } } },
  damaged: { title: 'a damaged file', inject: { download: { fault: 'zero-fill', keep_bytes: 4096 } } },
  'says-nothing': {
    title: 'a 200 that says nothing',
    inject: { cancel: { fault: 'malformed', form: 'no-output', when: 'before' } },
  },
};

/** Every kind at every request of every step at which it can happen. */
export const cellsOf = (kinds: Readonly<Record<string, DriftKind>>): readonly ProviderCell[] =>
  Object.entries(kinds).flatMap(([fault, kind]) =>
    STEPS.flatMap((step) =>
      (REQUESTS[step] ?? []).flatMap((on) => {
        const inject = kind.inject[on];
        const expected = kind.at?.[step] ?? (step === 'cancel' ? SALVAGED : BOUGHT);
        return inject === undefined ? [] : [{ fault, step, on, inject, expected }];
      }),
    ),
  );

export const DRIFT_CELLS = cellsOf(DRIFT_KINDS);

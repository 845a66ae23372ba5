import { at, cellsOf, type DriftKind, drift, JSON_ANSWERS } from './drift-cells.js';

const TERMINAL = '\u001b[2J\u001b]0;x\u0007\u202e\r\n';
/** For every download of the task, so that the file is what was bought. */
const always = { times: null } as const;

/** What a hostile server or file sends, at each kind of request that can meet it. */
export const HOSTILE_KINDS: Readonly<Record<string, DriftKind>> = {
  'long-message': {
    title: 'an error of 1 MB with control characters',
    inject: at(
      { fault: 'status', status: 500, code: 'InternalError', message: TERMINAL + 'm'.repeat(1_000_000) },
      ...JSON_ANSWERS,
      'download',
    ),
  },
  'long-answer': {
    title: 'an answer of 5 MB',
    inject: at(drift({ kind: 'set', path: 'extra', value: 'x'.repeat(5_000_000) }), ...JSON_ANSWERS),
  },
  'long-header': {
    title: 'a header of 60 kB',
    inject: at({ fault: 'headers', headers: { 'x-long': 'y'.repeat(60_000) } }, ...JSON_ANSWERS, 'download'),
  },
  'false-encoding': {
    title: 'a body that is not compressed as it says',
    inject: at({ fault: 'encoded', compressed: false }, ...JSON_ANSWERS, 'download'),
  },
  'unknown-codec': {
    title: 'a file whose pictures nobody can show',
    inject: { download: { fault: 'patch', find: 'avc1', with: 'xvid', ...always } },
  },
  'longer-file': {
    title: 'a file that goes on behind its end',
    inject: { download: { fault: 'patch', append_bytes: 100_000, ...always } },
  },
};

export const HOSTILE_CELLS = cellsOf(HOSTILE_KINDS);

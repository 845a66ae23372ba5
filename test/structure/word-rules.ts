import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { treeFiles } from './tree-files.js';

/** A word or an expression that is not written here, and what is written instead. */
interface WordRule {
  /**
   * The forms, each of one or several words, in lower case. A form matches in prose and inside of names in camelCase,
   * PascalCase, snake_case and kebab-case; a word of a form may list alternatives as `a|b`, and `*` matches any one
   * word.
   */
  readonly forms: readonly string[];
  readonly use: string;
  /** Text around a hit that makes it a different, allowed expression; matched from the hit's own start. */
  readonly unless?: RegExp;
}

/** The words that the field or plain modern English replaces. One rule may hold several forms of one word. */
const WORDS: readonly WordRule[] = [
  { forms: ['tell|tells|told|telling'], use: 'notify, report, say, show, deliver (tell apart: distinguish)' },
  {
    forms: ['stand|stands|standing|stood'],
    use: 'status, is, exists, holds, applies, is written, is listed; reserved (money)',
    unless: /^stand-ins?\b/i,
  },
  { forms: ['beside|besides'], use: 'next to, in addition to, as well as, alongside; pending (shares)' },
  { forms: ['whoever|whomever'], use: 'anyone who, a caller that, a later reader' },
  { forms: ['whatever'], use: 'any, everything that, regardless of' },
  { forms: ['anew'], use: 'again, from the start' },
  { forms: ['mend|mends|mended|mending'], use: 'fix, problem' },
  { forms: ['in hand'], use: 'tracker, current, request, held' },
  {
    forms: ['see|sees|seen|saw|seeing through', 'see|sees|seen|saw|seeing it|them through'],
    use: 'watch to the end, wait for, finish',
  },
  { forms: ['entrust|entrusts|entrusted|entrusting'], use: 'transfer, hand over' },
  { forms: ['foresee|foresees|foreseen|foresaw'], use: 'preview, expect, predict' },
  {
    forms: [
      'leave|leaves|left|leaving behind',
      'leave|leaves|left|leaving * behind',
      'leave|leaves|left|leaving * * behind',
    ],
    use: 'hand over, abandoned, stale, remaining',
  },
  { forms: ['let|lets|letting go', 'let|lets|letting it|them|go go'], use: 'release, clear, drop' },
  { forms: ['look|looks|looked|looking after'], use: 'manage, handle, monitor' },
  { forms: ['asker|askers'], use: 'requester, caller' },
  {
    forms: [
      'is|are|was|were|be|been|being|as|than asked for',
      'is|are|was|were|be|been|being not|never|only|also|already asked for',
      'asked for is|are|was|were',
      'nobody|somebody|someone|anybody asked|asks for',
    ],
    use: 'requested, on request',
  },
  {
    forms: ['does|do|did|cannot|can|could|to|not|will get on', 'gets|got|getting on'],
    use: 'is stuck, make progress, continue',
    unless: /^\S+ (get )?on (the|a|an|its|this|our) /i,
  },
  { forms: ['without a word'], use: 'without a message' },
  { forms: ['all is well'], use: 'all checks passed, healthy' },
  {
    forms: ['hitherto|henceforth|heretofore|thereof|whereof|whence|thence|wherein|whereupon|wherewith'],
    use: 'a plain word',
  },
];

/**
 * Names that a better one has replaced, each in the form in which it was a name. Only distinctive ones are listed:
 * `cut`, `late` or `full` remain good names elsewhere.
 */
const RETIRED_NAMES: Readonly<Record<string, string>> = {
  BatchNews: 'BatchNotifier',
  lookInLedger: 'findExistingPurchase',
  giveUp: 'recordNotCreated',
  leftAlone: 'abandonedAttemptError',
  tooLate: 'storeTooSlowError',
  Likeness: 'Match',
  LateTask: 'ExtraTask',
  recordSecond: 'recordExtraTask',
  secondPurchase: 'duplicatePurchaseWarning',
  enrolled: 'enqueue',
  takenOver: 'adoptOpenPurchases',
  withoutDead: 'releaseDeadHolders',
  heldOf: 'heldEntries',
  notUnderstood: 'ignoreMalformedSignal',
  lookDue: 'auditDue',
  readAgain: 'refreshSpending',
  toWorker: 'workerSinks',
  triedToUpgrade: 'upgradeAttempted',
  upgradeDue: 'newVersionAvailable',
  givenUp: 'abandonAfterRetries',
  keptCopy: 'findStoredCopy',
  PurchaseMemo: 'PurchaseContext',
  proveIfAbsent: 'verifyConditionalPut',
  ProvenStore: 'VerifiedStore',
  CheckedBody: 'VerifyingStream',
  passBody: 'forwardStream',
  SealedCode: 'EncryptedBundle',
  MEANT_SO: 'EXPECTED_WARNINGS',
  troubleOf: 'problemOf',
  PictureShelf: 'PictureStore',
  UploadShelf: 'UploadStore',
  TaskBook: 'TaskRegistry',
  ForeignTask: 'ExternalTask',
  booksText: 'purchaseComparison',
  passes_next: 'overlaps_next_run',
  kept_young: 'kept_recent',
  overran: 'overlapped_next',
  askForSlot: 'requestSlot',
  returnSlot: 'releaseSlot',
  leaveSlots: 'withdrawSlotRequest',
  followedStep: 'followStep',
  isOwn: 'boughtByThisRun',
  shareOf: 'queueIdentityOf',
  roomBeside: 'roomForAnotherPayer',
};

/** A hit that stays, each for the reason next to it. `line` is part of the line in which it occurs. */
export const EXCEPTIONS: readonly { readonly file: string; readonly line: string; readonly reason: string }[] = [];

export interface WordHit {
  readonly file: string;
  readonly line: number;
  /** What was found, as it is written there. */
  readonly found: string;
  readonly use: string;
  /** The line, trimmed. */
  readonly text: string;
}

/** Matches one word of a form at the start of a word of prose or of a hump of a name. */
const hump = (word: string, first: boolean) => {
  if (word === '*') return String.raw`[\w'’-]+?`;
  const cap = (one: string) => `${one[0]?.toUpperCase()}${one.slice(1)}`;
  const words = word.split('|');
  const lower = words.join('|');
  const capital = words.map(cap).join('|');
  const upper = words.map((one) => one.toUpperCase()).join('|');
  if (!first) return `(?:${lower}|${capital}|${upper})`;
  return `(?:(?<![A-Za-z])(?:${lower}|${capital})|(?<=[a-z0-9])(?:${capital})|(?<![A-Za-z])(?:${upper})(?![A-Za-z]))`;
};

/**
 * White space, a joint of a name, or the end of a line of a comment or of a Markdown paragraph with the next line's
 * marker.
 */
const JOINT = String.raw`(?:\s*\n[ \t]*(?:\*|\/\/\/?|#+|>)?[ \t]*|[ _-]+|(?=[A-Z]))`;

const compile = (form: string) =>
  new RegExp(
    `${form
      .split(' ')
      .map((word, index) => hump(word, index === 0))
      .join(JOINT)}(?![a-z])`,
    'g',
  );

const PATTERNS = [
  ...WORDS.flatMap(({ forms, use, unless }) => forms.map((form) => ({ pattern: compile(form), use, unless }))),
  ...Object.entries(RETIRED_NAMES).map(([name, use]) => ({
    pattern: new RegExp(String.raw`(?<![\w-])${name}(?![\w-])`, 'g'),
    use,
    unless: undefined,
  })),
];

/** Which files are read: all that people write here. What others wrote, recorded data and locks are not. */
const isChecked = (file: string): boolean =>
  /\.(ts|cts|mjs|md|sh|ya?ml|py|go)$|(^|\/)(Dockerfile|run)$|^package\.json$|^docs\/.*\.json$/.test(file) &&
  !/^(test\/fixtures|test\/structure\/fixtures|test\/replay\/histories)\/|^test\/structure\/word/.test(file);

/** The changelog lists old names on purpose: its tables of renames and the entries of earlier releases are left out. */
function withoutHistory(text: string): string {
  let quiet = false;
  let releases = 0;
  return text
    .split('\n')
    .map((line) => {
      if (/^## /.test(line)) releases += 1;
      if (/^#{2,4} /.test(line)) quiet = releases > 1 || /renamed|removed/i.test(line);
      return quiet ? '' : line;
    })
    .join('\n');
}

/** Finds the words in one file. The whole text counts: names, comments, strings and prose are all read by people. */
export function wordHits(file: string, text: string): WordHit[] {
  const checked = file === 'CHANGELOG.md' ? withoutHistory(text) : withoutForeignNames(file, text);
  const lines = text.split('\n');
  const starts = [0];
  for (const line of lines) starts.push((starts.at(-1) ?? 0) + line.length + 1);
  const lineAt = (offset: number) => starts.findLastIndex((start) => start <= offset);
  const hits = new Map<string, WordHit>();
  for (const { pattern, use, unless } of PATTERNS) {
    for (const match of checked.matchAll(pattern)) {
      if (unless?.test(checked.slice(match.index, match.index + 60))) continue;
      const line = lineAt(match.index);
      const hit = { file, line: line + 1, found: match[0].replace(/\s+/g, ' '), use, text: (lines[line] ?? '').trim() };
      if (!EXCEPTIONS.some((one) => one.file === file && hit.text.includes(one.line)))
        hits.set(`${match.index} ${use}`, hit);
    }
  }
  return [...hits.values()].sort((a, b) => a.line - b.line);
}

/** Blanks the names of other packages in imports: their words are not ours. */
const withoutForeignNames = (file: string, text: string): string =>
  /\.(ts|cts|mjs)$/.test(file)
    ? text.replace(
        /^((?:import|export|\}).*?)('[^.'][^']*');$/gm,
        (_, head, name) => head + ' '.repeat(name.length + 1),
      )
    : text;

/** All hits below the given paths, the whole tree when there is none; file names count as well. */
export function findWords(root: string, below: readonly string[] = []): WordHit[] {
  const files = treeFiles(root)
    .filter(isChecked)
    .filter(
      (file) =>
        below.length === 0 || below.some((path) => file === path || file.startsWith(`${path.replace(/\/$/, '')}/`)),
    );
  return files.flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    const inName = wordHits('', file).map((hit) => ({ ...hit, file, line: 0, text: 'the file’s name' }));
    return [...inName, ...wordHits(file, text)];
  });
}

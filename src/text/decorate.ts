import { pathToFileURL } from 'node:url';
import { cleanText } from '../contract/safe-text.js';

/** Where a text is written to. */
interface Decoration {
  readonly stream: { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of files and folders in the text. */
  readonly paths?: readonly string[];
}

const [DIM, BOLD, RED, YELLOW, GREEN] = ['2', '1', '31', '33', '32'];
const ADDRESS = /\b(?:https?|file):\/\/[^\s"'<>`]*[^\s"'<>`.,;:)\]]/g;
/** A line of a result: a name of at most nine letters in a column of ten, and what it says. */
const NAMED = /^([a-z]{2,9} +)(?=\S)(.*)$/;
const NAME_COLUMNS = 10;
const TABLE_HEAD = /^[A-Z][A-Z ()]+(?: {2,}[A-Z][A-Z ()]*)+$/;
const COLOUR_OF_NAME: Readonly<Record<string, string | undefined>> = {
  problem: RED,
  failure: RED,
  failed: RED,
  warning: YELLOW,
  paused: YELLOW,
  unsure: YELLOW,
  decide: YELLOW,
};
const COLOUR_OF_END: Readonly<Record<string, string | undefined>> = {
  completed: GREEN,
  failed: RED,
  terminated: RED,
  cancelled: YELLOW,
};

/** Whether a stream is a terminal that obeys control sequences; a log of CI shows them as text. */
export const takesSequences = (
  { isTTY }: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): boolean => isTTY === true && env['CI'] === undefined && env['TERM'] !== 'dumb';

/**
 * Adds colours and links to a text that is safe for a terminal. With `NO_COLOR` (https://no-color.org) it adds links
 * alone; in a file, in CI and on a terminal that calls itself dumb the text stays as it is.
 */
export function decorate(text: string, { stream, env, paths = [] }: Decoration): string {
  if (!takesSequences(stream, env)) return text;
  const linked = withLinks(text, paths);
  return (env['NO_COLOR'] ?? '') === '' ? linked.split('\n').map(colourLine).join('\n') : linked;
}

function colourLine(line: string): string {
  if (line.startsWith('wan-video: ')) return colour(RED, line);
  if (TABLE_HEAD.test(line)) return colour(BOLD, line);
  const [, name = '', rest = ''] = NAMED.exec(line) ?? [];
  if (name.length !== NAME_COLUMNS) return line;
  const kind = name.trimEnd();
  const ends = kind === 'status' || kind === 'outcome';
  return `${colour(DIM, name)}${colour(ends ? COLOUR_OF_END[rest] : COLOUR_OF_NAME[kind], rest)}`;
}

const colour = (code: string | undefined, text: string): string =>
  code === undefined ? text : `\u001b[${code}m${text}\u001b[0m`;

function withLinks(text: string, paths: readonly string[]): string {
  const linked = text.replace(ADDRESS, (address) => link(address, address));
  return paths.reduce((done, path) => {
    const shown = cleanText(path, Number.POSITIVE_INFINITY);
    return done.replace(shown, () => link(pathToFileURL(path).href, shown));
  }, linked);
}

/** A link of a terminal (OSC 8); a terminal without links shows the text alone. */
function link(address: string, text: string): string {
  // Terminals refuse an address that is not ASCII.
  const href = URL.canParse(address) ? new URL(address).href : address;
  return `\u001b]8;;${href}\u001b\\${text}\u001b]8;;\u001b\\`;
}

import type { Writable } from 'node:stream';
import { takesSequences } from './decorate.js';
import { cutToWidth } from './display-width.js';

/** Where progress goes; `columns` of a terminal. */
export type ProgressStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Width of a terminal that reports none, or 0. */
const COLUMNS = 80;
/** Moves to the start of the line and clears it. */
const CLEAR = '\r\x1b[2K';
/** Cells of a bar: enough to see it move, and most of 80 columns remain for the text. */
const BAR = 20;

/** One line of a terminal that is written over and over, below lines that stay. */
export class LiveLine {
  /** False where lines cannot be written over: in files and pipes, in CI, and on terminals without control. */
  readonly isLive: boolean;
  readonly #stream: ProgressStream;
  #shown = false;

  constructor(stream: ProgressStream, env: Readonly<Record<string, string | undefined>>) {
    this.isLive = takesSequences(stream, env);
    this.#stream = stream;
  }

  /** Writes the line over what it was; only where the line is live. */
  show(text: string): void {
    // One column stays free: a full line would wrap, and the next clear would miss its first half.
    this.#stream.write(`${CLEAR}${cutToWidth(text, (this.#stream.columns || COLUMNS) - 1)}`);
    this.#shown = true;
  }

  /** Writes a line that stays. */
  keep(text: string): void {
    this.end();
    this.#stream.write(`${text}\n`);
  }

  /** Removes the live line, so that other text can follow. */
  end(): void {
    if (this.#shown) this.#stream.write(CLEAR);
    this.#shown = false;
  }
}

/** A bar of fixed length. @param part - From 0 to 1; anything else counts as the nearer of them. */
export const barText = (part: number): string =>
  `[${'#'.repeat(Math.floor(Math.min(1, Math.max(0, part)) * BAR)).padEnd(BAR, '-')}]`;

/** One line of a file: its number from 1, and its bytes without the line end. */
export interface Line {
  readonly number: number;
  /** Offset of the line's first byte in the file. */
  readonly at: number;
  /** Offset of the next line. */
  readonly next: number;
  /** Null for a line longer than allowed, whose bytes are skipped. */
  readonly bytes: Uint8Array | null;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Splits a stream into lines that end with LF or CR LF. At most one line of `maxBytes` is in memory. The last line may
 * lack its line end; a line end at the end of the file starts no further line.
 */
export async function* readLines(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let offset = 0;
  let at = 0;
  let number = 1;
  const append = (part: Uint8Array): void => {
    length += part.length;
    if (length <= maxBytes + 1) parts.push(part);
    else parts = [];
  };
  const finishLine = (next: number): Line => {
    // One byte more than the limit is kept, because it may be the CR.
    const whole = length > maxBytes + 1 ? null : withoutReturn(Buffer.concat(parts));
    const line = { number, at, next, bytes: whole === null || whole.length > maxBytes ? null : whole };
    [parts, length, at] = [[], 0, next];
    number += 1;
    return line;
  };
  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      append(chunk.subarray(from, end));
      from = end + 1;
      yield finishLine(offset + from);
    }
    // The rest is copied, because the source may reuse the memory of its chunk.
    if (from < chunk.length) append(length > maxBytes ? chunk.subarray(from) : Buffer.from(chunk.subarray(from)));
    offset += chunk.length;
  }
  if (length > 0) yield finishLine(offset);
}

const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line);

/** Streams values as JSON, one per line. */
export async function* encodeLines(values: Iterable<unknown>): AsyncGenerator<Uint8Array> {
  for (const value of values) yield Buffer.from(`${JSON.stringify(value)}\n`);
}

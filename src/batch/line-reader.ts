/** One line of a file: its number from 1, and the bytes from `at` up to, but without, the line end. */
export interface Line {
  readonly number: number;
  /** Offset of the first byte in the file. */
  readonly at: number;
  /** Offset of the next line. */
  readonly next: number;
  /** Null for a line that is longer than allowed; its bytes are passed over, not kept. */
  readonly bytes: Uint8Array | null;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Splits a stream into lines, ended by LF or CR LF, holding at most one line of `maxBytes` in memory. The last line
 * need not end; nothing follows a line end at the end of the file.
 */
export async function* readLines(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let offset = 0;
  let at = 0;
  let number = 1;
  const keep = (part: Uint8Array): void => {
    length += part.length;
    if (length <= maxBytes + 1) parts.push(part);
    else parts = [];
  };
  const take = (next: number): Line => {
    // One byte more than the limit may be the CR.
    const whole = length > maxBytes + 1 ? null : withoutReturn(Buffer.concat(parts));
    const line = { number, at, next, bytes: whole === null || whole.length > maxBytes ? null : whole };
    [parts, length, at] = [[], 0, next];
    number += 1;
    return line;
  };
  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      keep(chunk.subarray(from, end));
      from = end + 1;
      yield take(offset + from);
    }
    // Copied: the source may use the memory of its chunk again.
    if (from < chunk.length) keep(length > maxBytes ? chunk.subarray(from) : Buffer.from(chunk.subarray(from)));
    offset += chunk.length;
  }
  if (length > 0) yield take(offset);
}

const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line);

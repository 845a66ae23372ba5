// How the queue is written for the next run of the workflow. Ids make up nearly all of it, and many share a beginning
// or are hashes in hexadecimal digits, so that a request takes some 45 to 80 bytes instead of 350 as JSON.

const HEX = /^[0-9a-f]+$/;

/** Writes whole numbers and texts as bytes. */
export class ByteWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;
  readonly #encoder = new TextEncoder();

  get length(): number {
    return this.#length;
  }

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** @param value - A whole number that is not negative. */
  count(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#byte((rest % 0x80) + 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#byte(rest);
  }

  /** @param value - A whole number, often near zero. */
  difference(value: number): void {
    this.count(value >= 0 ? 2 * value : -2 * value - 1);
  }

  /** @param before - A text that may begin alike; the reader has it, too. */
  text(text: string, before = ''): void {
    let shared = 0;
    while (shared < text.length && shared < before.length && text[shared] === before[shared]) shared += 1;
    // Hexadecimal digits are packed in pairs.
    if (shared > 0 && HEX.test(text.slice(shared - 1)) && (text.length - shared) % 2 === 1) shared -= 1;
    const rest = text.slice(shared);
    const isHex = rest.length > 0 && rest.length % 2 === 0 && HEX.test(rest);
    const bytes = isHex ? pairsOf(rest) : this.#encoder.encode(rest);
    this.count(shared);
    this.count(2 * bytes.length + (isHex ? 1 : 0));
    this.#append(bytes);
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#bytes.length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Reads what {@link ByteWriter} wrote. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #decoder = new TextDecoder();
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  count(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 0x80) {
      const byte = this.#bytes[this.#at] as number;
      this.#at += 1;
      value += (byte % 0x80) * unit;
      if (byte < 0x80) return value;
    }
  }

  difference(): number {
    const value = this.count();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  text(before = ''): string {
    const shared = this.count();
    const length = this.count();
    const end = this.#at + Math.floor(length / 2);
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return before.slice(0, shared) + (length % 2 === 1 ? hexOf(bytes) : this.#decoder.decode(bytes));
  }
}

function pairsOf(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

function hexOf(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += (byte < 16 ? '0' : '') + byte.toString(16);
  return hex;
}

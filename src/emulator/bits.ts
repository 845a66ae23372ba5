/** Writes the bits of an H.264 NAL unit (ITU-T H.264, 7.2 and 7.3.1). */
export class Bits {
  #bytes = new Uint8Array(1 << 10);
  #length = 0;
  /** Bits that do not fill a byte yet, and how many they are. */
  #pending = 0;
  #count = 0;

  /** An unsigned number of up to 32 bits. */
  u(value: number, bits: number): void {
    if (bits > 16) {
      this.u(value >>> 16, bits - 16);
      this.u(value & 0xffff, 16);
      return;
    }
    this.#pending = (this.#pending << bits) | value;
    this.#count += bits;
    while (this.#count >= 8) {
      this.#count -= 8;
      this.#push(this.#pending >>> this.#count);
      this.#pending &= (1 << this.#count) - 1;
    }
  }

  /** An unsigned Exp-Golomb code. */
  ue(value: number): void {
    const x = value + 1;
    const length = 32 - Math.clz32(x);
    if (length > 1) this.u(0, length - 1);
    this.u(x, length);
  }

  /** A signed Exp-Golomb code. */
  se(value: number): void {
    this.ue(value > 0 ? 2 * value - 1 : -2 * value);
  }

  /** (value, bits) pairs; bits 0 means Exp-Golomb. */
  fields(...pairs: number[]): void {
    for (let i = 0; i < pairs.length; i += 2) {
      const bits = pairs[i + 1] ?? 0;
      if (bits > 0) this.u(pairs[i] ?? 0, bits);
      else this.ue(pairs[i] ?? 0);
    }
  }

  /** The samples of an I_PCM macroblock, byte-aligned. */
  pcm(y: Uint8Array, cb: Uint8Array, cr: Uint8Array): void {
    this.#align();
    for (const plane of [y, cb, cr]) for (const sample of plane) this.#push(sample);
  }

  /** Closes the payload and returns it as a NAL unit with emulation prevention. */
  nal(header: number): Uint8Array {
    this.u(1, 1);
    this.#align();
    const out = new Uint8Array(1 + Math.ceil(this.#length * 1.5)); // at most one more byte for every two
    out[0] = header;
    let size = 1;
    let zeros = 0;
    for (const byte of this.#bytes.subarray(0, this.#length)) {
      if (zeros >= 2 && byte <= 3) {
        out[size++] = 3;
        zeros = 0;
      }
      out[size++] = byte;
      zeros = byte === 0 ? zeros + 1 : 0;
    }
    return out.slice(0, size);
  }

  #push(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }

  #align(): void {
    if (this.#count > 0) this.u(0, 8 - this.#count);
  }
}

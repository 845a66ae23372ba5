/** Writes the syntax elements of one H.264 NAL unit (ITU-T H.264, 7.2 and 7.3.1). */
export class BitWriter {
  #bytes = new Uint8Array(1 << 12);
  #length = 0;
  /** Bits that do not fill a byte yet, and their number. */
  #pending = 0;
  #pendingBits = 0;

  /** Writes an unsigned integer of up to 32 bits: `u(n)` of the standard. */
  u(value: number, bits: number): void {
    if (bits > 16) {
      this.u(value >>> 16, bits - 16);
      this.u(value & 0xffff, 16);
      return;
    }
    this.#pending = (this.#pending << bits) | value;
    this.#pendingBits += bits;
    while (this.#pendingBits >= 8) {
      this.#pendingBits -= 8;
      this.#reserve(1);
      this.#bytes[this.#length++] = this.#pending >>> this.#pendingBits;
      this.#pending &= (1 << this.#pendingBits) - 1;
    }
  }

  /** Writes an unsigned Exp-Golomb code: `ue(v)` of the standard. */
  ue(value: number): void {
    const code = value + 1;
    const length = 32 - Math.clz32(code);
    if (length > 1) this.u(0, length - 1);
    this.u(code, length);
  }

  /** Writes a signed Exp-Golomb code: `se(v)` of the standard. */
  se(value: number): void {
    this.ue(value > 0 ? 2 * value - 1 : -2 * value);
  }

  /** Fills the current byte with zeros. */
  align(): void {
    if (this.#pendingBits > 0) this.u(0, 8 - this.#pendingBits);
  }

  /** Writes whole bytes; the position must be aligned. */
  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Ends the payload and returns the NAL unit, with emulation prevention bytes. */
  finish(header: number): Uint8Array {
    this.u(1, 1);
    this.align();
    const unit = new Uint8Array(1 + Math.ceil(this.#length * 1.5)); // One byte is added for every two at most.
    unit[0] = header;
    let size = 1;
    let zeros = 0;
    for (const byte of this.#bytes.subarray(0, this.#length)) {
      if (zeros >= 2 && byte <= 3) {
        unit[size++] = 3;
        zeros = 0;
      }
      unit[size++] = byte;
      zeros = byte === 0 ? zeros + 1 : 0;
    }
    return unit.slice(0, size);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

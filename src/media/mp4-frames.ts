import type { FileHandle } from 'node:fs/promises';
import { Mp4Limit } from './mp4-boxes.js';

/** Frames are read together with their neighbours, this many bytes at a time. */
const WINDOW_BYTES = 1024 * 1024;
/** An uncompressed picture of 8192 x 4320 with half of the colours is below 54 MB. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024;
/** Holes come in disk sectors. H.264 forbids three zero bytes in a row, but some writers pad with a few. */
const HOLE = Buffer.alloc(512);

/** A fault of one frame's content. */
export interface FrameFault {
  /** From 0. */
  readonly index: number;
  /** A phrase that follows "has". */
  readonly fault: string;
}

/** A place in the file. */
export interface Place {
  readonly offset: number;
  readonly size: number;
}

/**
 * Reads frames once, in order, in constant memory, and checks that each one is a picture.
 * @param prefixBytes - Of the lengths in a frame; undefined for frames that have none, which only must not be empty.
 * @returns the first frame with a fault.
 */
export async function findFrameFault(
  file: FileHandle,
  places: readonly Place[],
  prefixBytes: number | undefined,
): Promise<FrameFault | undefined> {
  const window = new FileWindow(file);
  for (const [index, place] of places.entries()) {
    const fault = await faultAt(window, place, prefixBytes);
    if (fault !== undefined) return { index, fault };
  }
  return undefined;
}

async function faultAt(window: FileWindow, place: Place, prefixBytes: number | undefined): Promise<string | undefined> {
  if (place.size === 0) return 'nothing';
  if (place.size > FRAME_BYTES_MAX) return `${place.size} bytes`;
  const frame = await window.read(place);
  return prefixBytes === undefined ? undefined : faultOfUnits(frame, prefixBytes);
}

/** A frame is a chain of units, each behind its length; together they fill it. */
function faultOfUnits(frame: Buffer, prefixBytes: number): string | undefined {
  let at = 0;
  while (at + prefixBytes <= frame.length) {
    const length = frame.readUIntBE(at, prefixBytes);
    if (length === 0) return 'zeros instead of a picture';
    at += prefixBytes + length;
  }
  if (at !== frame.length) return 'a damaged picture';
  return frame.includes(HOLE) ? 'a hole of zeros' : undefined;
}

/** Reads places of a file that follow one another with few calls. */
class FileWindow {
  readonly #file: FileHandle;
  #buffer = Buffer.alloc(WINDOW_BYTES);
  #from = 0;
  #length = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async read({ offset, size }: Place): Promise<Buffer> {
    if (offset < this.#from || offset + size > this.#from + this.#length) {
      if (this.#buffer.length < size) this.#buffer = Buffer.alloc(size);
      const { bytesRead } = await this.#file.read(this.#buffer, 0, this.#buffer.length, offset);
      this.#from = offset;
      this.#length = bytesRead;
      if (bytesRead < size) throw new Mp4Limit('became shorter while it was read');
    }
    return this.#buffer.subarray(offset - this.#from, offset - this.#from + size);
  }
}

import type { FileHandle } from 'node:fs/promises';
import { kindOfImage } from './image-kind.js';
import { isSoundIndex } from './mp4-index.js';

/** A fault of the file itself, as a phrase that follows "it". */
export class Mp4Fault extends Error {
  override readonly name = 'Mp4Fault';
}

/** A video of 15 s has some five boxes; a fragmented one has two for each fragment. */
const BOXES_MAX = 4096;
/** The index of a video of 15 s is below 100 kB. It is read into memory as a whole, so a hostile size ends here. */
const MOOV_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Walks the top-level boxes of an MP4 file (ISO/IEC 14496-12, section 4.2), which no reader of the tracks does: it
 * finds a cut file whose index is complete.
 * @returns the fault of a file that has a sound `moov` and whose boxes do not lie inside it or do not fill it.
 * @throws {@link Mp4Fault} unless the first box is `ftyp` and a sound `moov` is there.
 */
export async function walkBoxes(file: FileHandle, size: number): Promise<Mp4Fault | undefined> {
  if (size === 0) throw new Mp4Fault('is empty');
  const names = new Set<string>();
  const start = Buffer.alloc(1024);
  for (let at = 0, count = 0; at < size; count++) {
    const { bytesRead } = await file.read(start, 0, count === 0 ? start.length : 16, at);
    const header = start.subarray(0, bytesRead);
    const name = header.toString('latin1', 4, 8);
    if (count === 0 && name !== 'ftyp') throw new Mp4Fault(`does not begin like an MP4 file but is ${nameOf(header)}`);
    const length = lengthOf(header, size - at);
    const fault = faultOfBox({ name, length, at, count, size });
    if (fault !== undefined || length === undefined) {
      const error = new Mp4Fault(fault ?? `has a damaged "${name}" part at ${at}`);
      if (!names.has('moov')) throw error;
      return error;
    }
    if (name === 'moov') {
      if (length > MOOV_BYTES_MAX) throw new Mp4Fault(`has an index of ${length} bytes`);
      const moov = Buffer.alloc(length);
      await file.read(moov, 0, length, at);
      if (!isSoundIndex(moov)) throw new Mp4Fault('has a damaged index');
    }
    names.add(name);
    at += length;
  }
  if (!names.has('moov')) throw new Mp4Fault('has no index (moov)');
  return undefined;
}

interface Box {
  readonly name: string;
  readonly length: number | undefined;
  readonly at: number;
  readonly count: number;
  readonly size: number;
}

function faultOfBox({ name, length, at, count, size }: Box): string | undefined {
  if (count === BOXES_MAX) return `has more than ${BOXES_MAX} parts`;
  if (!/^[\x20-\x7e]{4}$/.test(name)) return `has bytes at ${at} that are no part of an MP4 file`;
  if (length === undefined || length <= size - at) return undefined;
  return `is cut off: its "${name}" part needs ${length} bytes and ${size - at} are there`;
}

/** A box's length in bytes; `undefined` for one that is not even as long as its header. */
function lengthOf(header: Buffer, left: number): number | undefined {
  if (header.length < 8) return undefined;
  const short = header.readUInt32BE(0);
  if (short === 0) return left; // to the end of the file
  if (short !== 1) return short < 8 ? undefined : short;
  if (header.length < 16) return undefined;
  const long = Number(header.readBigUInt64BE(8));
  return long < 16 ? undefined : long;
}

function nameOf(head: Buffer): string {
  const { format, name } = kindOfImage(head);
  return name ?? `an image (${format})`;
}

import { type Box, findBox, Mp4Fault, Mp4Limit, rowsOf, type Table } from './mp4-boxes.js';

/** 15 s of uncompressed sound at 96 kHz are 1.44 million samples; a table beyond only claims to be one. */
const SAMPLES_MAX = 2_000_000;
/** 15 s at the highest frame rate that a request may name (120 fps) are 1800. */
const FRAMES_MAX = 100_000;

/** Where one sample (a frame, or a piece of sound) lies, and when it is shown, in units of its track's time scale. */
export interface Sample {
  readonly offset: number;
  readonly size: number;
  readonly duration: number;
  /** From when it is decoded to when it is shown. */
  readonly shift: number;
}

/** What of a file holds samples, and how long the file is. */
export interface MediaRanges {
  readonly size: number;
  /** The media parts, in order, without overlaps. */
  readonly parts: ReadonlyArray<{ readonly at: number; readonly end: number }>;
}

/** The samples of one track: added one by one, in the order in which they are decoded. */
export class TrackSamples {
  readonly what: 'frame' | 'sound';
  /** Of each frame; not kept for sound, which is only counted. */
  readonly places: Array<{ readonly offset: number; readonly size: number }> = [];
  count = 0;
  /** Bytes of all samples. */
  bytes = 0;
  /** Sum of the durations. */
  total = 0;
  /** When the next sample is decoded. */
  time = 0;
  /** When the first one is shown. */
  earliest = Number.POSITIVE_INFINITY;
  /** When the last one ends. */
  latest = Number.NEGATIVE_INFINITY;
  /** Number of the first sample that the file ends before, from 1. */
  missing: number | undefined;
  /** Number of the first sample that lies in no media part. */
  #misplaced: number | undefined;
  readonly #media: MediaRanges;
  #part = 0;

  constructor(what: 'frame' | 'sound', media: MediaRanges) {
    this.what = what;
    this.#media = media;
  }

  /**
   * Bounds the memory for what a table claims.
   * @throws {@link Mp4Fault} when this many more would be more than the file has bytes.
   * @throws {@link Mp4Limit} when they would be more than a short video has.
   */
  requireRoom(more: number): void {
    const max = this.what === 'frame' ? FRAMES_MAX : SAMPLES_MAX;
    if (this.count + more > max) {
      const claimed = `claims ${this.count + more} ${this.what === 'frame' ? 'frames' : 'pieces of sound'}`;
      if (this.count + more > this.#media.size) {
        throw new Mp4Fault(`has a damaged index: it ${claimed} in ${this.#media.size} bytes`);
      }
      throw new Mp4Limit(`${claimed}, and a short video has at most ${max}`);
    }
  }

  add({ offset, size, duration, shift }: Sample): void {
    this.count += 1;
    this.bytes += size;
    this.total += duration;
    this.earliest = Math.min(this.earliest, this.time + shift);
    this.latest = Math.max(this.latest, this.time + shift + duration);
    this.time += duration;
    // A fragment counts its offset from a place in the file, also backwards.
    if (offset < 0 || offset + size > this.#media.size) this.missing ??= this.count;
    else if (!this.#isInMedia(offset, size)) this.#misplaced ??= this.count;
    if (this.what === 'frame') this.places.push({ offset, size });
  }

  /** The fault of samples that are not there, or cannot all be there. */
  get faultOfPresence(): string | undefined {
    const { missing, bytes, what } = this;
    const { size } = this.#media;
    if (missing !== undefined) return `is cut off: ${this.#name(missing)} is not there`;
    // A reader of all frames would read the file many times.
    return bytes > size ? `claims ${bytes} bytes of ${what}s in a file of ${size}` : undefined;
  }

  /** The fault of samples that are there, and not where samples are. */
  get faultOfPlace(): string | undefined {
    return this.#misplaced === undefined ? undefined : `has ${this.#name(this.#misplaced)} outside of its media data`;
  }

  #name(number: number): string {
    const of = `${number} of ${this.count}`;
    return this.what === 'frame' ? `frame ${of}` : `piece ${of} of its sound`;
  }

  #isInMedia(offset: number, size: number): boolean {
    const { parts } = this.#media;
    // Most samples lie in the part of the one before.
    const isIn = (part = parts[this.#part]) => part !== undefined && offset >= part.at && offset + size <= part.end;
    if (isIn()) return true;
    let [low, high] = [0, parts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((parts[middle]?.end ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    this.#part = low;
    return isIn();
  }
}

/**
 * Adds the samples that the tables of `stbl` describe (ISO/IEC 14496-12, 8.6 and 8.7). Each table's count is compared
 * with its length before anything is read from it.
 * @returns the fault of tables that contradict one another.
 * @throws {@link Mp4Fault} for tables from which no sample can be found.
 */
export function addTableSamples(stbl: readonly Box[], samples: TrackSamples): string | undefined {
  const times = readTable(stbl, 'stts', 8);
  const chunkRuns = readTable(stbl, 'stsc', 12);
  const chunks = findBox(stbl, 'co64') === undefined ? readTable(stbl, 'stco', 4) : readTable(stbl, 'co64', 8);
  const sizes = readSizes(stbl);
  const timed = sumRuns(times);
  const placed = countPlaced(chunkRuns, chunks.count);
  samples.requireRoom(Math.max(sizes.count, timed, placed));
  const count = Math.min(sizes.count, timed, placed);
  const [shifts, shiftFault] = readShifts(stbl, count);
  const nextDuration = runReader(times);
  const nextShift = runReader(shifts);
  let index = 0;
  for (const { chunk, perChunk } of chunksOf(chunkRuns, chunks.count)) {
    const at = chunk * chunks.width;
    let offset = chunks.width === 8 ? Number(chunks.rows.readBigUInt64BE(at)) : chunks.rows.readUInt32BE(at);
    for (let i = 0; i < perChunk && index < count; i++, index++) {
      const size = sizes.at(index);
      samples.add({ offset, size, duration: nextDuration() >>> 0, shift: nextShift() });
      offset += size;
    }
    if (index >= count) break;
  }
  if (sizes.count === timed && timed === placed) return shiftFault;
  const counts = `${sizes.count} by size, ${timed} by time, ${placed} by place`;
  const what = samples.what === 'frame' ? 'frames' : 'pieces of sound';
  return `has an index that contradicts itself: ${what} are ${counts}`;
}

/** @throws {@link Mp4Fault} when the table does not hold the rows that it claims. An absent one has none. */
function readTable(stbl: readonly Box[], name: string, width: number): Table {
  const body = findBox(stbl, name);
  if (body === undefined) return { rows: Buffer.alloc(0), count: 0, width };
  return rowsOf(body, { name, width, countAt: 4 });
}

interface Sizes {
  readonly count: number;
  readonly at: (index: number) => number;
}

function readSizes(stbl: readonly Box[]): Sizes {
  const stsz = findBox(stbl, 'stsz');
  if (stsz !== undefined && stsz.length >= 12) {
    const constant = stsz.readUInt32BE(4);
    if (constant > 0) return { count: stsz.readUInt32BE(8), at: () => constant };
    const { rows, count } = rowsOf(stsz, { name: 'stsz', width: 4, countAt: 8 });
    return { count, at: (index) => rows.readUInt32BE(index * 4) };
  }
  const stz2 = findBox(stbl, 'stz2');
  if (stz2 === undefined || stz2.length < 12) return { count: 0, at: () => 0 };
  const bits = stz2.readUInt8(7);
  if (bits !== 4 && bits !== 8 && bits !== 16) throw new Mp4Fault('has a damaged index: its "stz2" table');
  const { rows, count } = rowsOf(stz2, { name: 'stz2', width: bits / 8, countAt: 8 });
  if (bits === 16) return { count, at: (index) => rows.readUInt16BE(index * 2) };
  if (bits === 8) return { count, at: (index) => rows.readUInt8(index) };
  return { count, at: (index) => (rows.readUInt8(index >> 1) >> (index % 2 === 0 ? 4 : 0)) & 15 };
}

/** Shifts are needed for what is shown when, not to find a frame: a damaged table is no reason to refuse the file. */
function readShifts(stbl: readonly Box[], count: number): [Table, string | undefined] {
  const none: Table = { rows: Buffer.alloc(0), count: 0, width: 8 };
  try {
    const shifts = readTable(stbl, 'ctts', 8);
    const shifted = sumRuns(shifts);
    if (shifts.count === 0 || shifted === count) return [shifts, undefined];
    return [none, `has a damaged index: its "ctts" table is for ${shifted} frames and ${count} are there`];
  } catch (error) {
    if (error instanceof Mp4Fault) return [none, error.message];
    throw error;
  }
}

/** The sum of the counts of a table of runs, each a count and a value. */
function sumRuns({ rows, count }: Table): number {
  let total = 0;
  for (let run = 0; run < count; run++) total += rows.readUInt32BE(run * 8);
  return total;
}

/** Returns a reader of one value after the other; zeros after the last run. */
function runReader({ rows, count }: Table): () => number {
  let run = -1;
  let left = 0;
  return () => {
    while (left === 0 && run < count - 1) {
      run += 1;
      left = rows.readUInt32BE(run * 8);
    }
    if (left === 0) return 0;
    left -= 1;
    return rows.readInt32BE(run * 8 + 4);
  };
}

interface ChunkRun {
  readonly from: number;
  readonly to: number;
  readonly perChunk: number;
}

/** Runs of chunks with the same number of samples; `from` and `to` count from 0. */
function* runsOf({ rows, count }: Table, chunks: number): Generator<ChunkRun> {
  for (let run = 0; run < count; run++) {
    const from = rows.readUInt32BE(run * 12) - 1;
    const to = run + 1 < count ? rows.readUInt32BE((run + 1) * 12) - 1 : chunks;
    if (from < 0 || (run === 0 && from !== 0) || to <= from || to > chunks) {
      throw new Mp4Fault(`has a damaged index: its "stsc" table names a chunk ${from + 1} of ${chunks}`);
    }
    yield { from, to, perChunk: rows.readUInt32BE(run * 12 + 4) };
  }
}

function countPlaced(table: Table, chunks: number): number {
  let placed = 0;
  for (const { from, to, perChunk } of runsOf(table, chunks)) placed += (to - from) * perChunk;
  return placed;
}

function* chunksOf(table: Table, chunks: number): Generator<{ readonly chunk: number; readonly perChunk: number }> {
  for (const { from, to, perChunk } of runsOf(table, chunks)) {
    for (let chunk = from; chunk < to; chunk++) yield { chunk, perChunk };
  }
}

import { childBoxes, contentOf, findBox, Mp4Fault, rowsOf } from './mp4-boxes.js';
import type { IndexedTrack } from './mp4-index.js';
import type { TrackSamples } from './mp4-samples.js';

/** Flags of `tfhd` and `trun` that say which fields are there (ISO/IEC 14496-12, 8.8.7 and 8.8.8). */
const TFHD = { base: 0x1, description: 0x2, duration: 0x8, size: 0x10, flags: 0x20, baseIsMoof: 0x20000 } as const;
const TRUN = { offset: 0x1, firstFlags: 0x4, duration: 0x100, size: 0x200, flags: 0x400, shift: 0x800 } as const;

/** A track and what is known of its samples so far. */
export interface ReadTrack {
  readonly track: IndexedTrack;
  readonly samples: TrackSamples;
  /** Seconds of the samples that the index itself describes; in a fragmented file usually none. */
  readonly tableSeconds: number;
}

/** A jump of a fragment's time that is no rounding, in seconds: as long as three frames of 30 per second. */
const GAP_SECONDS = 0.1;

/**
 * Adds the samples of one fragment to their tracks.
 * @param box - A whole `moof` box.
 * @param at - Its place in the file.
 * @returns the first fault that does not keep its samples from being found: a gap between two fragments.
 * @throws {@link Mp4Fault} for a fragment whose samples cannot be found.
 */
export function addFragment(box: Buffer, at: number, tracks: readonly ReadTrack[]): string | undefined {
  let fault: string | undefined;
  let end = at;
  for (const { name, body } of childBoxes(contentOf(box), 'moof')) {
    if (name !== 'traf') continue;
    const boxes = childBoxes(body, 'traf');
    const header = readHeader(findBox(boxes, 'tfhd'));
    const found = tracks.find(({ track }) => track.id === header.id);
    if (found === undefined) continue; // a track without picture or sound
    const { track, samples } = found;
    const timeFault = moveTo(findBox(boxes, 'tfdt'), found);
    fault ??= timeFault;
    const { duration = track.fragmentDefaults.duration, size = track.fragmentDefaults.size } = header;
    const base = header.base ?? (header.isMoofBase ? at : end);
    end = base;
    for (const { name: run, body: trun } of boxes) {
      if (run === 'trun') end = addRun(trun, { base, next: end, duration, size }, samples);
    }
  }
  return fault;
}

interface FragmentHeader {
  readonly id: number;
  readonly base: number | undefined;
  readonly isMoofBase: boolean;
  readonly duration: number | undefined;
  readonly size: number | undefined;
}

function readHeader(tfhd: Buffer | undefined): FragmentHeader {
  if (tfhd === undefined || tfhd.length < 8) throw damagedFragment();
  const flags = tfhd.readUIntBE(1, 3);
  const fields = [TFHD.base, TFHD.description, TFHD.duration, TFHD.size] as const;
  const values = new Map<number, number>();
  let at = 8;
  for (const field of fields) {
    if ((flags & field) === 0) continue;
    const width = field === TFHD.base ? 8 : 4;
    if (at + width > tfhd.length) throw damagedFragment();
    values.set(field, width === 8 ? Number(tfhd.readBigUInt64BE(at)) : tfhd.readUInt32BE(at));
    at += width;
  }
  return {
    id: tfhd.readUInt32BE(4),
    base: values.get(TFHD.base),
    isMoofBase: (flags & TFHD.baseIsMoof) !== 0,
    duration: values.get(TFHD.duration),
    size: values.get(TFHD.size),
  };
}

/** Goes on at the time that the fragment names; the first fragment may begin anywhere. */
function moveTo(tfdt: Buffer | undefined, { track, samples }: ReadTrack): string | undefined {
  if (tfdt === undefined) return undefined;
  const isLong = tfdt[0] === 1;
  if (tfdt.length < (isLong ? 12 : 8)) throw damagedFragment();
  const time = isLong ? Number(tfdt.readBigUInt64BE(4)) : tfdt.readUInt32BE(4);
  if (!Number.isSafeInteger(time)) throw damagedFragment();
  const gap = (time - samples.time) / track.timescale;
  const at = samples.time / track.timescale;
  samples.time = time;
  if (samples.count === 0 || Math.abs(gap) <= GAP_SECONDS) return undefined;
  const what = track.what === 'frame' ? 'pictures' : 'sound';
  if (gap < 0) return `has fragments of its ${what} that overlap by ${(-gap).toFixed(2)} s at ${at.toFixed(2)} s`;
  return `has a gap of ${gap.toFixed(2)} s in its ${what} at ${at.toFixed(2)} s`;
}

interface RunPlace {
  /** What its offset counts from. */
  readonly base: number;
  /** Where the run before it ended. */
  readonly next: number;
  readonly duration: number;
  readonly size: number;
}

/** @returns where the run's data end. */
function addRun(trun: Buffer, { base, next, duration, size }: RunPlace, samples: TrackSamples): number {
  if (trun.length < 8) throw damagedFragment();
  const flags = trun.readUIntBE(1, 3);
  const has = (flag: number) => (flags & flag) !== 0;
  const headerBytes = (has(TRUN.offset) ? 4 : 0) + (has(TRUN.firstFlags) ? 4 : 0);
  if (trun.length < 8 + headerBytes) throw damagedFragment();
  const columns = [TRUN.duration, TRUN.size, TRUN.flags, TRUN.shift].filter(has);
  const table = Buffer.concat([trun.subarray(0, 8), trun.subarray(8 + headerBytes)]);
  const width = columns.length * 4;
  const { rows, count } = rowsOf(table, { name: 'trun', width, countAt: 4 });
  samples.requireRoom(count);
  const columnAt = (flag: number) => columns.indexOf(flag as never) * 4;
  const [durationAt, sizeAt, shiftAt] = [TRUN.duration, TRUN.size, TRUN.shift].map(columnAt) as [
    number,
    number,
    number,
  ];
  let offset = has(TRUN.offset) ? base + trun.readInt32BE(8) : next;
  for (let index = 0; index < count; index++) {
    const at = index * width;
    const sample = {
      offset,
      size: sizeAt < 0 ? size : rows.readUInt32BE(at + sizeAt),
      duration: durationAt < 0 ? duration : rows.readUInt32BE(at + durationAt),
      shift: shiftAt < 0 ? 0 : rows.readInt32BE(at + shiftAt),
    };
    samples.add(sample);
    offset += sample.size;
  }
  return offset;
}

const damagedFragment = (): Mp4Fault => new Mp4Fault('has a damaged index: a fragment that cannot be read');

/**
 * Checks a segment index (ISO/IEC 14496-12, 8.16.3), which names the places of fragments.
 * @param end - Where the box ends; its places count from there.
 * @returns the fault of one that names more bytes than the file has.
 */
export function faultOfSegments(box: Buffer, end: number, size: number): string | undefined {
  const sidx = contentOf(box);
  const isLong = sidx[0] === 1;
  const countAt = isLong ? 30 : 22;
  if (sidx.length < countAt + 2) return 'has a damaged segment index';
  let place = end + (isLong ? Number(sidx.readBigUInt64BE(20)) : sidx.readUInt32BE(16));
  const count = sidx.readUInt16BE(countAt);
  if (sidx.length < countAt + 2 + count * 12) return 'has a damaged segment index';
  for (let index = 0; index < count; index++) place += sidx.readUInt32BE(countAt + 2 + index * 12) & 0x7fffffff;
  if (place <= size) return undefined;
  return `is cut off: its segment index names ${place} bytes and ${size} are there`;
}

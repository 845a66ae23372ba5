import { type FileHandle, open } from 'node:fs/promises';
import { type FileBox, Mp4Fault, readIndexBox, type WalkedBoxes, walkBoxes } from './mp4-boxes.js';
import { addFragment, faultOfSegments, type ReadTrack } from './mp4-fragments.js';
import { findFrameFault } from './mp4-frames.js';
import { type IndexedTrack, type Mp4Index, readIndex } from './mp4-index.js';
import { readPicture } from './mp4-picture.js';
import { addTableSamples, type MediaRanges, TrackSamples } from './mp4-samples.js';
import { faultOfClaims, shownSeconds } from './mp4-times.js';

/** Measurements of a video file. */
export interface MeasuredMp4 {
  /** Seconds of the video track that are shown; sound may last a few hundredths longer. */
  readonly durationSeconds: number;
  /** Frames per second, averaged. */
  readonly fps: number;
  readonly frames: number;
  /** Pixels as shown. */
  readonly width: number;
  readonly height: number;
  /** Codec of the video track: `avc` (H.264) for a verified file. */
  readonly codec: string;
  readonly hasAudio: boolean;
}

/** A video file that has a readable index and pictures. */
export interface InspectedMp4 {
  readonly measured: MeasuredMp4;
  /** The check that it fails, as a phrase that follows "it"; undefined for a verified file. */
  readonly fault: string | undefined;
  /** Bytes are missing or overwritten, as after a bad download; other faults are of how the file was made. */
  readonly isDamaged: boolean;
}

/** Forty times the longest video that can be requested. */
const SECONDS_MAX = 600;
/** A request may name 1 to 120 frames per second. */
const FPS_RANGE = [0.5, 480] as const;
/** A side of one macroblock, and the longest one of a picture in 8K. */
const SIDE_RANGE = [16, 8192] as const;

/**
 * Verifies and measures an MP4 file: its boxes fill it, it has an H.264 track, and every frame that its index names is
 * there, with lengths that add up and no hole of zeros. The bytes of the video are read once; memory and time are
 * bounded by the file's size, not by what its tables claim.
 * @returns the measurements, and the first check that a file with a readable index and pictures fails.
 * @throws {@link Mp4Fault} for what is no video at all.
 */
export async function measureMp4File(file: string): Promise<InspectedMp4> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    return await measure(handle, size);
  } finally {
    await handle.close();
  }
}

async function measure(handle: FileHandle, size: number): Promise<InspectedMp4> {
  const walked = await walkBoxes(handle, size);
  const { index, tracks, fault: indexFault } = await readTracks(handle, size, walked);
  const pictures = tracks.filter(({ track, samples }) => track.what === 'frame' && samples.count > 0);
  const video = pictures.find(({ track }) => track.isEnabled) ?? pictures[0];
  if (video === undefined) {
    throw new Mp4Fault(tracks.some(({ track }) => track.what === 'frame') ? 'has no frames' : 'has no video track');
  }
  const { track, samples } = video;
  const { codec, width, height, prefixBytes } = readPicture(track);
  const framesFault = await faultOfFrames(handle, video, prefixBytes);
  // Sums of thirtieths are off by some 1e-14.
  const exact = (value: number) => Math.round(value * 1e6) / 1e6;
  const fps = exact((samples.count * track.timescale) / samples.total);
  const shown = exact(shownSeconds(index, video));
  const whole = exact((samples.latest - samples.earliest) / track.timescale);
  const durationSeconds = shown > 0 ? shown : whole;
  if (!(fps > 0 && durationSeconds > 0 && Number.isFinite(fps) && Number.isFinite(durationSeconds))) {
    throw new Mp4Fault(`has ${samples.count} frames in ${durationSeconds} s`);
  }
  if (!(width > 0 && height > 0)) throw new Mp4Fault(`has a picture of ${width}x${height}`);
  const others = tracks.filter((other) => other !== video && other.samples.count > 0);
  const hasAudio = others.some((other) => other.track.what === 'sound');
  const measured = { durationSeconds, fps, frames: samples.count, width, height, codec, hasAudio };
  const damage = framesFault ?? first(others, ({ samples: other }) => other.faultOfPresence) ?? indexFault;
  const fault =
    damage ??
    faultOfFigures(measured) ??
    (codec === 'avc' ? undefined : `has a video track in ${codec} instead of H.264`) ??
    walked.fault ??
    first([video, ...others], ({ samples: other }) => other.faultOfPlace) ??
    faultOfEdits(shown, whole) ??
    faultOfClaims(index, [video, ...others]) ??
    (walked.isQuickTime ? 'is a QuickTime file' : undefined);
  return { measured, fault, isDamaged: damage !== undefined };
}

/**
 * A damaged time scale of the movie changes its own length and those of all edits alike, so that nothing contradicts
 * it.
 */
function faultOfEdits(shown: number, whole: number): string | undefined {
  if (shown <= 0) return 'has an edit list that shows none of its pictures';
  return shown < whole / 2 ? `has an edit list that shows ${shown} s of ${whole} s of pictures` : undefined;
}

/** The first fault among tracks. */
function first(tracks: readonly ReadTrack[], faultOf: (track: ReadTrack) => string | undefined): string | undefined {
  for (const track of tracks) {
    const fault = faultOf(track);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

interface ReadIndex {
  readonly index: Mp4Index;
  readonly tracks: readonly ReadTrack[];
  /** A fault that does not keep the frames from being found. */
  readonly fault: string | undefined;
}

/** Reads the index and all fragments. */
async function readTracks(handle: FileHandle, size: number, { boxes }: WalkedBoxes): Promise<ReadIndex> {
  const moov = boxes.find(({ name }) => name === 'moov');
  if (moov === undefined) throw new Mp4Fault('has no index (moov)');
  const index = readIndex(await readIndexBox(handle, moov));
  let { fault } = index;
  const media = { size, parts: boxes.filter(({ name }) => name === 'mdat') };
  const tracks: ReadTrack[] = [];
  for (const track of index.tracks) {
    const { read, fault: tableFault } = readTables(track, media);
    tracks.push(read);
    fault ??= tableFault;
  }
  for (const box of boxes) {
    try {
      const boxFault = await readFollowing(handle, box, { size, tracks });
      fault ??= boxFault;
    } catch (error) {
      // The pictures before it are there.
      if (!(error instanceof Mp4Fault) || tracks.every(({ samples }) => samples.places.length === 0)) throw error;
      fault ??= error.message;
    }
  }
  return { index, tracks, fault };
}

interface Following {
  readonly size: number;
  readonly tracks: readonly ReadTrack[];
}

/** Reads what continues the index: a fragment, whose samples are added to their tracks, or a segment index. */
async function readFollowing(
  handle: FileHandle,
  box: FileBox,
  { size, tracks }: Following,
): Promise<string | undefined> {
  if (box.name === 'sidx') return faultOfSegments(await readIndexBox(handle, box), box.end, size);
  return box.name === 'moof' ? addFragment(await readIndexBox(handle, box), box.at, tracks) : undefined;
}

/** Without its tables a picture cannot be found; sound is not needed to measure the video. */
function readTables(track: IndexedTrack, media: MediaRanges): { readonly read: ReadTrack; readonly fault?: string } {
  const samples = new TrackSamples(track.what, media);
  try {
    const fault = addTableSamples(track.stbl, samples);
    const read = { track, samples, tableSeconds: samples.total / track.timescale };
    return fault === undefined ? { read } : { read, fault };
  } catch (error) {
    if (track.what === 'frame' || !(error instanceof Mp4Fault)) throw error;
    return { read: { track, samples, tableSeconds: 0 }, fault: error.message };
  }
}

/** @throws {@link Mp4Fault} when the first frame is not there: without it no player shows any. */
async function faultOfFrames(
  handle: FileHandle,
  { track, samples }: ReadTrack,
  prefixBytes: number | undefined,
): Promise<string | undefined> {
  const { places, missing } = samples;
  const presence = samples.faultOfPresence;
  // What is there is read, at most the whole file once.
  const there = presence === undefined ? places : places.slice(0, missing === undefined ? 1 : missing - 1);
  if (there.length === 0) throw new Mp4Fault(presence);
  const found = await findFrameFault(handle, there, prefixBytes);
  if (found === undefined) return presence;
  const at = (samples.total / track.timescale / samples.count) * found.index;
  const fault = `has ${found.fault} in frame ${found.index + 1}, at ${at.toFixed(2)} s`;
  if (found.index === 0) throw new Mp4Fault(fault);
  return fault;
}

function faultOfFigures({ durationSeconds, fps, width, height }: MeasuredMp4): string | undefined {
  if (durationSeconds > SECONDS_MAX) return `claims to last ${durationSeconds} s`;
  if (fps < FPS_RANGE[0] || fps > FPS_RANGE[1]) return `claims ${fps} frames per second`;
  const isPicture = Math.min(width, height) >= SIDE_RANGE[0] && Math.max(width, height) <= SIDE_RANGE[1];
  return isPicture ? undefined : `claims a picture of ${width}x${height}`;
}

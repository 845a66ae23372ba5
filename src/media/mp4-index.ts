import { type Box, childBoxes, contentOf, findBox, Mp4Fault, Mp4Limit, rowsOf } from './mp4-boxes.js';

/** A part of a track's media that is shown, or a pause before it (ISO/IEC 14496-12, 8.6.6). */
interface Edit {
  /** Length in seconds; 0 for "to the end" in a fragmented file. */
  readonly seconds: number;
  /** Where it begins in the media, in units of the track's time scale; -1 for a pause. */
  readonly mediaTime: number;
  /** 1 for the usual speed. */
  readonly rate: number;
}

/** Values of a track's fragments that do not say otherwise (`trex`). */
interface FragmentDefaults {
  readonly duration: number;
  readonly size: number;
}

/** One track, as the index describes it; its samples are read on their own. */
export interface IndexedTrack {
  readonly id: number;
  readonly what: 'frame' | 'sound';
  readonly isEnabled: boolean;
  readonly timescale: number;
  /** Seconds that the track, and its media, are said to last; undefined when that is left open. */
  readonly claims: { readonly track: number | undefined; readonly media: number | undefined };
  readonly edits: readonly Edit[];
  /** A fault of its edit list, which then has no edits: the pictures are there. */
  readonly fault: string | undefined;
  readonly fragmentDefaults: FragmentDefaults;
  /** Tables of its samples. */
  readonly stbl: readonly Box[];
  /** Whether the picture is shown on its side. */
  readonly isTurned: boolean;
}

/** The index of a file. */
export interface Mp4Index {
  readonly movieTimescale: number;
  /**
   * Seconds that the movie is said to last, in its header or for all fragments; undefined when that is left open, or
   * counts tracks that are not read.
   */
  readonly claimedSeconds: number | undefined;
  /** Whether parts of the index may follow in fragments. */
  readonly isFragmented: boolean;
  readonly tracks: readonly IndexedTrack[];
  /** A fault of a track that is not needed to measure the video. */
  readonly fault: string | undefined;
}

/** Kinds of tracks that are checked; others (time code, text, hints) have no picture and no sound. */
const KINDS: Readonly<Record<string, IndexedTrack['what']>> = { vide: 'frame', soun: 'sound' };
/** A movie has a picture and sound, seldom several of each. */
const TRACKS_MAX = 64;

/**
 * Reads a `moov` box (ISO/IEC 14496-12, section 8).
 * @throws {@link Mp4Fault} for an index from which the tracks cannot be read.
 */
export function readIndex(moov: Buffer): Mp4Index {
  const boxes = childBoxes(contentOf(moov), 'moov');
  const mvex = findBox(boxes, 'mvex');
  const extension = mvex === undefined ? [] : childBoxes(mvex, 'mvex');
  const header = orFault(() => times(findBox(boxes, 'mvhd'), { at: 12, long: 20 }));
  const movieTimescale = header.value?.timescale;
  const traks = boxes.filter(({ name }) => name === 'trak');
  if (traks.length > TRACKS_MAX) throw new Mp4Limit(`has ${traks.length} tracks, and at most ${TRACKS_MAX} are read`);
  const tracks: IndexedTrack[] = [];
  let { fault } = header;
  let hasOthers = false;
  for (const { body } of traks) {
    const parts = childBoxes(body, 'trak');
    const mdia = childBoxes(findBox(parts, 'mdia') ?? Buffer.alloc(0), 'mdia');
    const what = KINDS[findBox(mdia, 'hdlr')?.toString('latin1', 8, 12) ?? ''];
    if (what === undefined) {
      hasOthers = true;
      continue;
    }
    try {
      const track = readTrack({ parts, mdia, what, extension, movieTimescale });
      tracks.push(track);
      fault ??= track.fault;
    } catch (error) {
      if (what === 'frame' || !(error instanceof Mp4Fault)) throw error;
      fault ??= error.message;
    }
  }
  const claimedSeconds = mvex === undefined ? header.value?.seconds : fragmentSeconds(extension, movieTimescale);
  return {
    movieTimescale: movieTimescale ?? 1,
    claimedSeconds: hasOthers ? undefined : claimedSeconds,
    isFragmented: mvex !== undefined,
    tracks,
    fault,
  };
}

interface TrackParts {
  readonly parts: readonly Box[];
  readonly mdia: readonly Box[];
  readonly what: IndexedTrack['what'];
  readonly extension: readonly Box[];
  /** Undefined when the movie's header has none: then nothing is known that is given in it. */
  readonly movieTimescale: number | undefined;
}

/** What can be done without is not read when it is damaged, and the damage is reported. */
function orFault<T>(read: () => T): { readonly value?: T; readonly fault?: string } {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof Mp4Fault) return { fault: error.message };
    throw error;
  }
}

function readTrack({ parts, mdia, what, extension, movieTimescale }: TrackParts): IndexedTrack {
  const tkhd = findBox(parts, 'tkhd');
  if (tkhd === undefined || tkhd.length < 84) throw new Mp4Fault('has a damaged index: a track without a header');
  const isLong = tkhd[0] === 1;
  if (isLong && tkhd.length < 96) throw new Mp4Fault('has a damaged index: a track without a header');
  const id = tkhd.readUInt32BE(isLong ? 20 : 12);
  const duration = isLong ? longDuration(tkhd, 28) : shortDuration(tkhd, 20);
  const media = times(findBox(mdia, 'mdhd'), { at: 12, long: 20 });
  const minf = childBoxes(findBox(mdia, 'minf') ?? Buffer.alloc(0), 'minf');
  const matrix = isLong ? 52 : 40;
  const seconds = duration === undefined || movieTimescale === undefined ? undefined : duration / movieTimescale;
  const { value: edits = [], fault } = orFault(() => readEdits(parts, movieTimescale));
  return {
    id,
    what,
    isEnabled: ((tkhd[3] ?? 0) & 1) === 1,
    timescale: media.timescale,
    claims: { track: fault === undefined ? seconds : undefined, media: media.seconds },
    edits,
    fault,
    fragmentDefaults: defaultsOf(extension, id),
    stbl: childBoxes(findBox(minf, 'stbl') ?? Buffer.alloc(0), 'stbl'),
    // A quarter turn has nothing on the matrix's diagonal.
    isTurned: tkhd.readInt32BE(matrix) === 0 && tkhd.readInt32BE(matrix + 16) === 0,
  };
}

interface Times {
  readonly timescale: number;
  readonly seconds: number | undefined;
}

/** Time scale and duration of `mvhd` or `mdhd`, which are at these places in the short and the long form. */
function times(header: Buffer | undefined, { at, long }: { readonly at: number; readonly long: number }): Times {
  const isLong = header?.[0] === 1;
  const place = isLong ? long : at;
  if (header === undefined || header.length < place + (isLong ? 12 : 8)) {
    throw new Mp4Fault('has a damaged index: a header without a time scale');
  }
  const timescale = header.readUInt32BE(place);
  if (timescale === 0) throw new Mp4Fault('has a damaged index: a time scale of 0');
  const duration = isLong ? longDuration(header, place + 4) : shortDuration(header, place + 4);
  return { timescale, seconds: duration === undefined ? undefined : duration / timescale };
}

/** Zero, like all ones, leaves a duration open. */
function shortDuration(header: Buffer, at: number): number | undefined {
  const duration = header.readUInt32BE(at);
  return duration === 0 || duration === 0xffffffff ? undefined : duration;
}

function longDuration(header: Buffer, at: number): number | undefined {
  const duration = header.readBigUInt64BE(at);
  return duration === 0n || duration === 0xffffffffffffffffn ? undefined : Number(duration);
}

function readEdits(parts: readonly Box[], movieTimescale: number | undefined): Edit[] {
  const elst = findBox(childBoxes(findBox(parts, 'edts') ?? Buffer.alloc(0), 'edts'), 'elst');
  if (elst === undefined || movieTimescale === undefined) return [];
  const isLong = elst[0] === 1;
  const width = isLong ? 20 : 12;
  const { rows, count } = rowsOf(elst, { name: 'elst', width, countAt: 4 });
  return Array.from({ length: count }, (_, index) => {
    const at = index * width;
    const duration = isLong ? Number(rows.readBigUInt64BE(at)) : rows.readUInt32BE(at);
    const mediaTime = isLong ? Number(rows.readBigInt64BE(at + 8)) : rows.readInt32BE(at + 4);
    return { seconds: duration / movieTimescale, mediaTime, rate: rows.readInt32BE(at + width - 4) / 65536 };
  });
}

/** Length of all fragments, where the writer knew it (`mehd`). */
function fragmentSeconds(extension: readonly Box[], movieTimescale: number | undefined): number | undefined {
  const mehd = findBox(extension, 'mehd');
  if (mehd === undefined || mehd.length < 8 || movieTimescale === undefined) return undefined;
  if (mehd[0] !== 1) {
    const duration = shortDuration(mehd, 4);
    return duration === undefined ? undefined : duration / movieTimescale;
  }
  const duration = mehd.length < 12 ? undefined : longDuration(mehd, 4);
  return duration === undefined ? undefined : duration / movieTimescale;
}

function defaultsOf(extension: readonly Box[], id: number): FragmentDefaults {
  const trex = extension.find(({ name, body }) => name === 'trex' && body.length >= 24 && body.readUInt32BE(4) === id);
  if (trex === undefined) return { duration: 0, size: 0 };
  return { duration: trex.body.readUInt32BE(12), size: trex.body.readUInt32BE(16) };
}

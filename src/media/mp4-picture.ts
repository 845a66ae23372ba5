import { type Box, childBoxes, findBox, Mp4Fault } from './mp4-boxes.js';
import type { IndexedTrack } from './mp4-index.js';

/** What a track's pictures are, by its sample entry (ISO/IEC 14496-12, 12.1.3). */
export interface Picture {
  readonly codec: string;
  /** Pixels as shown. */
  readonly width: number;
  readonly height: number;
  /** Bytes of the length before each unit of a frame; undefined where frames are no chains of such units. */
  readonly prefixBytes: number | undefined;
}

/** Names of codecs by the sample entries that have them. */
const CODECS: Readonly<Record<string, string>> = {
  avc1: 'avc',
  avc2: 'avc',
  avc3: 'avc',
  avc4: 'avc',
  hvc1: 'hevc',
  hev1: 'hevc',
  av01: 'av1',
  vp08: 'vp8',
  vp09: 'vp9',
  mp4v: 'mpeg4',
  encv: 'an encrypted form',
};

/** Where the boxes of a visual sample entry begin, behind its header. */
const ENTRY_BOXES_AT = 78;

/** @throws {@link Mp4Fault} for a track without a description of its pictures. */
export function readPicture({ stbl, isTurned }: IndexedTrack): Picture {
  const stsd = findBox(stbl, 'stsd');
  const [entry] = stsd === undefined || stsd.length < 16 ? [] : childBoxes(stsd.subarray(8), 'stsd');
  if (entry === undefined || entry.body.length < ENTRY_BOXES_AT) {
    throw new Mp4Fault('has a damaged index: pictures without a description');
  }
  const { name, body } = entry;
  const codec = CODECS[name] ?? (/^[\x20-\x7e]{4}$/.test(name) ? `an unknown codec (${name})` : 'an unknown codec');
  const boxes = entryBoxes(body.subarray(ENTRY_BOXES_AT));
  // Pixels that are no squares are shown wider, or narrower.
  const pasp = findBox(boxes, 'pasp');
  const [across, down] = pasp === undefined || pasp.length < 8 ? [1, 1] : [pasp.readUInt32BE(0), pasp.readUInt32BE(4)];
  const stretch = across > 0 && down > 0 ? across / down : 1;
  const [coded, height] = [body.readUInt16BE(24), body.readUInt16BE(26)];
  const width = coded === 0 ? 0 : Math.max(1, Math.round(coded * stretch));
  return {
    codec,
    width: isTurned ? height : width,
    height: isTurned ? width : height,
    prefixBytes: prefixBytesOf(codec, boxes),
  };
}

/** A damaged box behind the picture's size is no reason not to know the size. */
function entryBoxes(content: Buffer): readonly Box[] {
  try {
    return childBoxes(content, 'stsd');
  } catch (error) {
    if (error instanceof Mp4Fault) return [];
    throw error;
  }
}

/** The low two bits of a byte of the decoder's configuration are the width less one (ISO/IEC 14496-15, 5.3.3). */
function prefixBytesOf(codec: string, boxes: readonly Box[]): number | undefined {
  if (codec !== 'avc' && codec !== 'hevc') return undefined;
  const byte = codec === 'avc' ? findBox(boxes, 'avcC')?.[4] : findBox(boxes, 'hvcC')?.[21];
  return ((byte ?? 3) & 3) + 1;
}

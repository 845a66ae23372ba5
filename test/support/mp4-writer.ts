/** MP4 files box by box, also such as no writer makes. Their pictures have the right form and cannot be shown. */

const u8 = (...values: number[]): Buffer => Buffer.from(values);

export function u16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function box(name: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([u32(body.length + 8), Buffer.from(name, 'latin1'), body]);
}

/** A box with version and flags. */
export const fullBox = (name: string, version: number, flags: number, ...parts: readonly Buffer[]): Buffer =>
  box(name, u32(version * 0x1000000 + flags), ...parts);

/** An edit: its length and its start, in units of the movie's and of the track's time scale. */
interface WrittenEdit {
  readonly duration: number;
  readonly mediaTime: number;
}

export interface WrittenMp4 {
  readonly frames?: number;
  /** Ticks of 1/15360 s. */
  readonly delta?: number;
  /** Per frame, from decoding to showing. */
  readonly shifts?: readonly number[];
  readonly shiftVersion?: 0 | 1;
  readonly edits?: readonly WrittenEdit[];
  /** Pieces of sound, 1024 samples of 44.1 kHz each. */
  readonly sound?: number;
  readonly brand?: string;
  readonly codec?: string;
  readonly width?: number;
  readonly height?: number;
  /** `fragments` divides the frames; with `partial` the first part is in the index itself. */
  readonly layout?: 'first' | 'last' | 'open' | 'large' | 'fragments' | 'partial';
  readonly fragments?: number;
  /** Frames that have one size, which the table then names once. */
  readonly frameBytes?: number;
  readonly segmentIndex?: boolean;
  readonly movieSeconds?: number;
  readonly mediaSeconds?: number;
}

const TIMESCALE = 15_360;
const MOVIE_TIMESCALE = 1000;
const MATRIX = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000);

/** A frame of one unit, whose bytes differ from one another. */
function frameOf(index: number, bytes: number): Buffer {
  const unit = Buffer.from(Array.from({ length: bytes - 4 }, (_, at) => 1 + ((index * 31 + at * 7) % 255)));
  return Buffer.concat([u32(unit.length), unit]);
}

export function writeMp4(options: WrittenMp4 = {}): Buffer {
  const { frames = 60, layout = 'first', brand = 'isom', frameBytes, sound = 0 } = options;
  const ftyp = box('ftyp', Buffer.from(brand.padEnd(4)), u32(512), Buffer.from('isomiso2avc1mp41'));
  const pictures = Array.from({ length: frames }, (_, index) => frameOf(index, frameBytes ?? 40 + (index % 7)));
  const pieces = Array.from({ length: sound }, (_, index) => frameOf(index, 20));
  if (layout === 'fragments' || layout === 'partial') return writeFragments(options, ftyp, pictures);
  const data = Buffer.concat([...pictures, ...pieces]);
  const headerBytes = layout === 'large' ? 16 : 8;
  const media = { sizes: pictures.map(({ length }) => length), soundAt: Buffer.concat(pictures).length };
  const moovAt = (dataAt: number) => writeMoov({ ...options, ...media, dataAt, isLarge: layout === 'large' });
  const body = wrapData(data, layout);
  if (layout === 'last') return Buffer.concat([ftyp, body, moovAt(ftyp.length + headerBytes)]);
  return Buffer.concat([ftyp, moovAt(ftyp.length + moovAt(0).length + headerBytes), body]);
}

function wrapData(data: Buffer, layout: WrittenMp4['layout']): Buffer {
  if (layout === 'open') return Buffer.concat([u32(0), Buffer.from('mdat'), data]);
  if (layout === 'large') return Buffer.concat([u32(1), Buffer.from('mdat'), u64(data.length + 16), data]);
  return box('mdat', data);
}

interface Written extends WrittenMp4 {
  readonly sizes: readonly number[];
  readonly soundAt: number;
  readonly dataAt: number;
  readonly isLarge?: boolean;
}

function writeMoov(written: Written, extension: readonly Buffer[] = []): Buffer {
  const { delta = 512, sizes, sound = 0, movieSeconds, edits = [] } = written;
  const soundSeconds = (sound * 1024) / 44_100;
  const edited = edits.reduce((sum, { duration }) => sum + duration, 0) / MOVIE_TIMESCALE;
  const pictureSeconds = edits.length > 0 ? edited : (sizes.length * delta) / TIMESCALE;
  const seconds = movieSeconds ?? Math.max(soundSeconds, pictureSeconds);
  const duration = Math.round(seconds * MOVIE_TIMESCALE);
  const mvhd = fullBox('mvhd', 0, 0, u32(0, 0, MOVIE_TIMESCALE, duration, 0x10000), u16(0x100, 0), u32(0, 0), MATRIX);
  const rest = Buffer.concat([Buffer.alloc(24), u32(3)]);
  const header = box('mvhd', mvhd.subarray(8), rest);
  const tracks = [videoTrack(written, pictureSeconds)];
  if (sound > 0) tracks.push(soundTrack(written, soundSeconds));
  return box('moov', header, ...tracks, ...extension);
}

interface Track {
  readonly id: number;
  readonly seconds: number;
  readonly size: readonly [number, number];
  readonly edits?: readonly WrittenEdit[];
  readonly handler: string;
  readonly timescale: number;
  readonly duration: number;
  readonly stbl: Buffer;
}

function writeTrack({ id, seconds, size, edits = [], handler, timescale, duration, stbl }: Track): Buffer {
  const tkhd = [u32(0, 0, id, 0, Math.round(seconds * MOVIE_TIMESCALE), 0, 0), u16(0, 0, 0, 0), MATRIX];
  const header = fullBox('tkhd', 0, 3, ...tkhd, u32(size[0] * 0x10000, size[1] * 0x10000));
  const entries = edits.map((edit) => u32(edit.duration, edit.mediaTime, 0x10000));
  const elst = edits.length === 0 ? [] : [box('edts', fullBox('elst', 0, 0, u32(edits.length), ...entries))];
  const mdhd = fullBox('mdhd', 0, 0, u32(0, 0, timescale, duration), u16(0x55c4, 0));
  const hdlr = fullBox('hdlr', 0, 0, u32(0), Buffer.from(handler), Buffer.alloc(13));
  return box('trak', header, ...elst, box('mdia', mdhd, hdlr, box('minf', stbl)));
}

function videoTrack(written: Written, seconds: number): Buffer {
  const { delta = 512, sizes, dataAt, isLarge = false, width = 640, height = 360, mediaSeconds } = written;
  const { shifts, shiftVersion = 0, codec = 'avc1', frameBytes } = written;
  const configuration = box(
    'avcC',
    u8(1, 66, 192, 30, 255, 225),
    u16(4),
    u8(0x67, 66, 192, 30, 1),
    u16(2),
    u8(0x68, 0),
  );
  const entry = box(codec, u32(0), u16(0, 1), Buffer.alloc(16), u16(width, height), Buffer.alloc(50), configuration);
  const offsets = isLarge ? fullBox('co64', 0, 0, u32(1), u64(dataAt)) : fullBox('stco', 0, 0, u32(1, dataAt));
  const table = frameBytes === undefined ? u32(0, sizes.length, ...sizes) : u32(frameBytes, sizes.length);
  const shown = shifts?.map((shift) => u32(1, shift)) ?? [];
  const stbl = box(
    'stbl',
    fullBox('stsd', 0, 0, u32(1), entry),
    fullBox('stts', 0, 0, ...(sizes.length === 0 ? [u32(0)] : [u32(1, sizes.length, delta)])),
    ...(shifts === undefined ? [] : [fullBox('ctts', shiftVersion, 0, u32(shown.length), ...shown)]),
    fullBox('stsc', 0, 0, ...(sizes.length === 0 ? [u32(0)] : [u32(1, 1, sizes.length, 1)])),
    fullBox('stsz', 0, 0, table),
    sizes.length === 0 ? fullBox('stco', 0, 0, u32(0)) : offsets,
  );
  const duration = mediaSeconds === undefined ? sizes.length * delta : mediaSeconds * TIMESCALE;
  const edits = written.edits ?? [];
  return writeTrack({
    id: 1,
    seconds,
    size: [width, height],
    edits,
    handler: 'vide',
    timescale: TIMESCALE,
    duration,
    stbl,
  });
}

function soundTrack({ sound = 0, dataAt, soundAt }: Written, seconds: number): Buffer {
  const entry = box('mp4a', u32(0), u16(0, 1), u32(0, 0), u16(2, 16, 0, 0), u32(44_100 * 0x10000));
  const stbl = box(
    'stbl',
    fullBox('stsd', 0, 0, u32(1), entry),
    fullBox('stts', 0, 0, u32(1, sound, 1024)),
    fullBox('stsc', 0, 0, u32(1, 1, sound, 1)),
    fullBox('stsz', 0, 0, u32(20, sound)),
    fullBox('stco', 0, 0, u32(1, dataAt + soundAt)),
  );
  const duration = sound * 1024;
  return writeTrack({ id: 2, seconds, size: [0, 0], handler: 'soun', timescale: 44_100, duration, stbl });
}

function writeFragments(options: WrittenMp4, ftyp: Buffer, pictures: readonly Buffer[]): Buffer {
  const { delta = 512, fragments = 4, layout, shifts, shiftVersion = 0, segmentIndex = false } = options;
  const perPart = Math.ceil(pictures.length / fragments);
  const groups = Array.from({ length: fragments }, (_, part) => pictures.slice(part * perPart, (part + 1) * perPart));
  const indexed = layout === 'partial' ? (groups[0] ?? []) : [];
  const trex = box('mvex', fullBox('trex', 0, 0, u32(1, 1, delta, 0, 0)));
  const sizes = indexed.map(({ length }) => length);
  const at = (dataAt: number) =>
    writeMoov({ ...options, shifts: undefined as never, soundAt: 0, sizes, dataAt, sound: 0 }, [trex]);
  const start = Buffer.concat([ftyp, at(ftyp.length + at(0).length + 8)]);
  const parts = [start, ...(layout === 'partial' ? [box('mdat', ...indexed)] : [])];
  const segments: Buffer[] = [];
  for (let part = layout === 'partial' ? 1 : 0; part < groups.length; part++) {
    const group = groups[part] ?? [];
    const rows = group.map(({ length }, index) => u32(length, shifts?.[part * perPart + index] ?? 0));
    const moof = (offset: number) =>
      box(
        'moof',
        fullBox('mfhd', 0, 0, u32(part + 1)),
        box(
          'traf',
          fullBox('tfhd', 0, 0x20000, u32(1)),
          fullBox('tfdt', 1, 0, u64(part * perPart * delta)),
          fullBox('trun', shiftVersion, 0xa01, u32(group.length, offset), ...rows),
        ),
      );
    segments.push(Buffer.concat([moof(moof(0).length + 8), box('mdat', ...group)]));
  }
  if (segmentIndex) {
    const rows = segments.map(({ length }) => u32(length, perPart * delta, 0x90000000));
    parts.push(fullBox('sidx', 0, 0, u32(1, TIMESCALE, 0, 0), u16(0, segments.length), ...rows));
  }
  return Buffer.concat([...parts, ...segments]);
}

/** A copy in which `bytes` replace what lies `at` bytes behind the beginning of the first box of a name. */
export function patchBox(file: Buffer, name: string, at: number, bytes: Buffer): Buffer {
  const start = file.indexOf(name, 0, 'latin1') - 4;
  if (start < 0) throw new Error(`no box ${name}`);
  const copy = Buffer.from(file);
  copy.set(bytes, start + at);
  return copy;
}

import type { FileHandle } from 'node:fs/promises';
import { kindOfImage } from './image-kind.js';
import { beginsLikeOldQuickTime, otherVideoContainer } from './video-container.js';

/** A fault of the file itself, as a phrase that follows "it". */
export class Mp4Fault extends Error {
  override readonly name: string = 'Mp4Fault';
}

/** A limit of this reader, as a phrase that follows "it": proves nothing about the file. */
export class Mp4Limit extends Mp4Fault {
  override readonly name = 'Mp4Limit';
}

/** 15 s at 120 fps in fragments of one frame each are 3600 parts; the sound's fragments come on top. */
const BOXES_MAX = 8192;
/** A container of a video's index has some ten boxes. */
const CHILDREN_MAX = 1024;
/** The index of a video of 15 s is below 100 kB. It is read into memory as a whole, so a hostile size ends here. */
const INDEX_BYTES_MAX = 16 * 1024 * 1024;

/** A box of the file: its place in bytes, header included. */
export interface FileBox {
  readonly name: string;
  readonly at: number;
  readonly end: number;
}

/** The top-level boxes of a file, in order. */
export interface WalkedBoxes {
  readonly boxes: readonly FileBox[];
  /** Whether the file names QuickTime as its kind. */
  readonly isQuickTime: boolean;
  /** What is wrong behind an index that is there: the boxes do not lie inside the file, or do not fill it. */
  readonly fault: string | undefined;
}

/**
 * Walks the top-level boxes of an MP4 file (ISO/IEC 14496-12, section 4.2).
 * @throws {@link Mp4Limit} for another container of videos, or too many boxes before `moov`.
 * @throws {@link Mp4Fault} unless it begins like an MP4 or QuickTime file and a whole `moov` is there.
 */
export async function walkBoxes(file: FileHandle, size: number): Promise<WalkedBoxes> {
  if (size === 0) throw new Mp4Fault('is empty');
  const boxes: FileBox[] = [];
  const start = Buffer.alloc(1024);
  let fault: string | undefined;
  let isQuickTime = false;
  for (let at = 0; at < size && fault === undefined; ) {
    const { bytesRead } = await file.read(start, 0, boxes.length === 0 ? start.length : 16, at);
    const header = start.subarray(0, bytesRead);
    const name = header.toString('latin1', 4, 8);
    if (boxes.length === 0) isQuickTime = readFirstBox(name, header).isQuickTime;
    const length = lengthOf(header, size - at);
    fault = faultOfBox({ name, length, at, size, count: boxes.length, previous: boxes.at(-1)?.name });
    if (name === 'moov' && boxes.some((box) => box.name === name)) fault ??= `has a second index at ${at}`;
    // A cut part's beginning is there.
    const end = Math.min(size, at + (length ?? 0));
    if (fault === undefined || (name === 'mdat' && end > at)) boxes.push({ name, at, end });
    at = end;
  }
  if (!boxes.some(({ name }) => name === 'moov')) {
    const Kind = boxes.length === BOXES_MAX ? Mp4Limit : Mp4Fault;
    throw new Kind(fault ?? 'has no index (moov)');
  }
  return { boxes, isQuickTime, fault };
}

/** Reads a box that belongs to the index; the buffer begins with its header. */
export async function readIndexBox(file: FileHandle, { name, at, end }: FileBox): Promise<Buffer> {
  if (end - at > INDEX_BYTES_MAX) {
    throw new Mp4Limit(`has an index of ${end - at} bytes ("${name}"), and at most ${INDEX_BYTES_MAX} are read`);
  }
  const body = Buffer.alloc(end - at);
  const { bytesRead } = await file.read(body, 0, body.length, at);
  if (bytesRead < body.length) throw new Mp4Limit('became shorter while it was read');
  return body;
}

/** A box in memory: its name, and its content without the header. */
export interface Box {
  readonly name: string;
  readonly body: Buffer;
}

/**
 * The boxes in a container's content. They lie inside it, one after the other; nothing descends into a box by itself,
 * so nesting has no depth.
 * @throws {@link Mp4Fault} for a box that is longer than what is left, or shorter than its header.
 */
export function childBoxes(container: Buffer, where: string): Box[] {
  const boxes: Box[] = [];
  for (let at = 0; at < container.length; ) {
    const rest = container.subarray(at);
    // QuickTime ends a container with four zero bytes.
    if (rest.length < 8 && rest.every((byte) => byte === 0)) break;
    const length = rest.length < 8 || rest.readUInt32BE(0) === 0 ? undefined : lengthOf(rest, rest.length);
    if (length === undefined || length > rest.length)
      throw new Mp4Fault(`has a damaged index: a part of its "${where}"`);
    if (boxes.length === CHILDREN_MAX) {
      throw new Mp4Limit(`has more than ${CHILDREN_MAX} parts in its "${where}"`);
    }
    const headerBytes = rest.readUInt32BE(0) === 1 ? 16 : 8;
    boxes.push({ name: rest.toString('latin1', 4, 8), body: rest.subarray(headerBytes, length) });
    at += length;
  }
  return boxes;
}

/** The content of the first box of a name. */
export function findBox(boxes: readonly Box[], name: string): Buffer | undefined {
  return boxes.find((box) => box.name === name)?.body;
}

/** The content of a box without its header, as {@link readIndexBox} returned it. */
export function contentOf(box: Buffer): Buffer {
  return box.subarray(box.readUInt32BE(0) === 1 ? 16 : 8);
}

/** Rows of a table, and how many of them there are. */
export interface Table {
  readonly rows: Buffer;
  readonly count: number;
  readonly width: number;
}

interface TableShape {
  readonly name: string;
  readonly width: number;
  readonly countAt: number;
}

/** @throws {@link Mp4Fault} when `body` does not hold the rows that it claims. */
export function rowsOf(body: Buffer, { name, width, countAt }: TableShape): Table {
  if (body.length < countAt + 4) throw new Mp4Fault(`has a damaged index: its "${name}" table is cut off`);
  const count = body.readUInt32BE(countAt);
  const rows = body.subarray(countAt + 4);
  if (count * width > rows.length) {
    const claimed = `claims ${count} entries and has room for ${Math.floor(rows.length / width)}`;
    throw new Mp4Fault(`has a damaged index: its "${name}" table ${claimed}`);
  }
  return { rows, count, width };
}

/** Judges how a file begins. */
function readFirstBox(name: string, header: Buffer): { readonly isQuickTime: boolean } {
  if (name === 'ftyp') return { isQuickTime: header.toString('latin1', 8, 12) === 'qt  ' };
  if (beginsLikeOldQuickTime(header)) return { isQuickTime: true };
  const other = otherVideoContainer(header);
  if (other !== undefined) throw new Mp4Limit(`is ${other}, which is not measured`);
  throw new Mp4Fault(`does not begin like an MP4 file but is ${nameOf(header)}`);
}

interface Candidate {
  readonly name: string;
  readonly length: number | undefined;
  readonly at: number;
  readonly size: number;
  readonly count: number;
  readonly previous: string | undefined;
}

function faultOfBox({ name, length, at, size, count, previous }: Candidate): string | undefined {
  if (count === BOXES_MAX) return `has more than ${BOXES_MAX} parts`;
  if (!/^[\x20-\x7e\xa9]{4}$/.test(name)) {
    return `has ${size - at} bytes after its "${previous}" part that are no part of an MP4 file`;
  }
  if (length === undefined) return `has a damaged "${name}" part at ${at}`;
  if (length <= size - at) return undefined;
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

/** Names what a file is by its first bytes. */
export const nameOf = (head: Buffer): string => kindOfImage(head).name;

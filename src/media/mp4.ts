import { type FileHandle, open } from 'node:fs/promises';
import { CustomSource, EncodedPacketSink, Input, type InputVideoTrack, Logging, LogLevel, MP4, QTFF } from 'mediabunny';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { Mp4Fault, walkBoxes } from './mp4-boxes.js';

// The library prints to the console for odd files, and a worker's log has lines of its own form only.
Logging.level = LogLevel.Silent;

/** Measurements of a video file. */
export interface MeasuredMp4 {
  /** Length of the video track, in seconds; sound may last a few hundredths longer. */
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

/**
 * 15 s at the highest frame rate that a request may name (120 fps) are 1800; beyond, an index only claims to be one.
 */
const FRAMES_MAX = 100_000;
/** Holes come in disk sectors. H.264 forbids three zero bytes in a row, but some writers pad with a few. */
const HOLE = Buffer.alloc(512);

/** A video file that has a readable index and pictures. */
export interface InspectedMp4 {
  readonly measured: MeasuredMp4;
  /** The check that it fails, as a phrase that follows "it"; undefined for a verified file. */
  readonly fault: string | undefined;
}

/**
 * Verifies and measures an MP4 file: its boxes fill it, it has an H.264 track, and every frame of it is there, with
 * lengths that add up and no hole of zeros. Each byte of the video is read once; memory stays below some 20 MB for any
 * size.
 * @returns the measurements, and the first check that a file with a readable index and pictures fails.
 * @throws {@link VideoError} `ResultRejected` for what is no video at all; `StoreUnavailable` (retryable) when the file
 * cannot be read.
 */
export async function inspectMp4(file: string): Promise<InspectedMp4> {
  const handle = await open(file, 'r').catch(unreadable);
  try {
    const { size } = await handle.stat();
    const fault = await walkBoxes(handle, size);
    return await measure(handle, size, fault?.message);
  } catch (cause) {
    if (cause instanceof Error && 'syscall' in cause) return unreadable(cause);
    // The library's own messages are about its code, not about the file.
    throw rejectedMp4(cause instanceof Mp4Fault ? cause.message : 'has a damaged index', cause);
  } finally {
    await handle.close();
  }
}

/** The error for a file with a fault, a phrase that follows "it". */
export function rejectedMp4(fault: string, cause?: unknown): VideoError {
  return new VideoError(FailureType.ResultRejected, `The result is not a playable MP4: it ${fault}`, {
    billed: true,
    nextStep: 'Look at the file that was kept aside, and give the task id to the provider.',
    cause,
  });
}

async function measure(handle: FileHandle, size: number, boxFault: string | undefined): Promise<InspectedMp4> {
  const source = new CustomSource({
    getSize: () => size,
    read: (start, end) => readAt(handle, start, end),
    prefetchProfile: 'fileSystem',
    handleUnhandledError: () => {}, // a read ahead that failed; the read that needs those bytes fails too
  });
  const input = new Input({ formats: [MP4, QTFF], source });
  try {
    const video = await input.getPrimaryVideoTrack();
    if (video === null) throw new Mp4Fault('has no video track');
    const codec = (await video.getCodec()) ?? 'an unknown codec';
    const { fault: frameFault, ...frames } = await walkFrames(video, codec === 'avc');
    const codecFault = codec === 'avc' ? undefined : `has a video track in ${codec} instead of H.264`;
    const isMp4 = (await input.getFormat()) === MP4;
    const formatFault = isMp4 ? undefined : 'is a QuickTime file';
    const [width, height] = await Promise.all([video.getDisplayWidth(), video.getDisplayHeight()]);
    if (!(width > 0 && height > 0)) throw new Mp4Fault(`has a picture of ${width}x${height}`);
    const hasAudio = (await input.getPrimaryAudioTrack()) !== null;
    const measured = { ...frames, width, height, codec, hasAudio };
    return { measured, fault: boxFault ?? codecFault ?? frameFault ?? formatFault };
  } finally {
    input.dispose();
  }
}

type WalkedFrames = Pick<MeasuredMp4, 'durationSeconds' | 'fps' | 'frames'> & { readonly fault: string | undefined };

/** @param isAvc - Whether the frames are chains of H.264 units, which can be checked. */
async function walkFrames(video: InputVideoTrack, isAvc: boolean): Promise<WalkedFrames> {
  const description = (await video.getDecoderConfig())?.description;
  // In an avcC record the low two bits of byte 4 are the width of the length prefixes, less one (ISO/IEC 14496-15,
  // 5.2.4.1).
  const prefixBytes = description === undefined ? 4 : ((bytesOf(description)[4] ?? 3) & 3) + 1;
  let frames = 0;
  let first = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  let total = 0;
  let firstFault: string | undefined;
  for await (const { data, timestamp, duration } of new EncodedPacketSink(video).packets()) {
    const fault = isAvc ? faultOfFrame(data, prefixBytes) : undefined;
    if (fault !== undefined) firstFault ??= `has ${fault} in frame ${frames + 1}, at ${timestamp.toFixed(2)} s`;
    // Without its first picture no player shows any.
    if (firstFault !== undefined && frames === 0) throw new Mp4Fault(firstFault);
    frames += 1;
    if (frames > FRAMES_MAX) throw new Mp4Fault(`has more than ${FRAMES_MAX} frames`);
    first = Math.min(first, timestamp);
    end = Math.max(end, timestamp + duration);
    total += duration;
  }
  if (frames === 0) throw new Mp4Fault('has no frames');
  // Sums of thirtieths are off by some 1e-14.
  const exact = (value: number) => Math.round(value * 1e6) / 1e6;
  // Not frames by the track's end: a fragmented file may begin later than zero.
  const [fps, durationSeconds] = [exact(frames / total), exact(end - first)];
  if (!(fps > 0 && durationSeconds > 0 && Number.isFinite(fps))) {
    throw new Mp4Fault(`has ${frames} frames in ${durationSeconds} s`);
  }
  return { frames, durationSeconds, fps, fault: firstFault };
}

/** A frame is a chain of units, each behind its length; together they fill it. */
function faultOfFrame(data: Uint8Array, prefixBytes: number): string | undefined {
  const frame = bytesOf(data);
  if (frame.length === 0) return 'nothing';
  let at = 0;
  while (at + prefixBytes <= frame.length) {
    const length = frame.readUIntBE(at, prefixBytes);
    if (length === 0) return 'zeros instead of a picture';
    at += prefixBytes + length;
  }
  if (at !== frame.length) return 'a damaged picture';
  return frame.includes(HOLE) ? 'a hole of zeros' : undefined;
}

function bytesOf(data: ArrayBufferView | ArrayBufferLike): Buffer {
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.from(data);
}

async function readAt(handle: FileHandle, start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
    if (bytesRead === 0) throw new Error('the file became shorter');
    filled += bytesRead;
  }
  return bytes;
}

function unreadable(cause: unknown): never {
  const { code, message } = cause as NodeJS.ErrnoException;
  throw new VideoError(FailureType.StoreUnavailable, `The spooled result cannot be read: ${code ?? message}`, {
    retryable: true,
    nextStep: "Check the disk of the worker's temporary folder.",
    cause,
  });
}

import {
  BufferTarget,
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedVideoPacketSource,
  Mp4OutputFormat,
  Output,
} from 'mediabunny';
import type { H264Stream } from './h264.js';

/** Frames per second of every clip. */
export const CLIP_FPS = 30;

const AAC_RATE = 44_100;
const AAC_FRAME = 1024;
const SILENCE = Uint8Array.of(0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c);

/** What the file says about a stream. */
export interface MuxOptions {
  /** Width in pixels. */
  readonly width: number;
  /** Height in pixels. */
  readonly height: number;
  /** Length of the video track in seconds. */
  readonly durationSeconds: number;
  /** Whether a (silent) AAC track is added. */
  readonly audio: boolean;
}

/** Packs a stream of 30 frames a second into an MP4 file; equal streams give equal bytes at any time. */
export async function muxed(stream: H264Stream, options: MuxOptions): Promise<Uint8Array> {
  const { width, height, durationSeconds, audio } = options;
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: 'in-memory' }), target });
  const video = new EncodedVideoPacketSource('avc');
  output.addVideoTrack(video, { frameRate: CLIP_FPS });
  const sound = audio ? new EncodedAudioPacketSource('aac') : undefined;
  if (sound !== undefined) output.addAudioTrack(sound);
  await output.start();
  const { codec, description } = stream;
  for (const [i, { data, isKey }] of stream.samples.entries()) {
    const packet = new EncodedPacket(data, isKey ? 'key' : 'delta', i / CLIP_FPS, 1 / CLIP_FPS);
    const meta = { decoderConfig: { codec, codedWidth: width, codedHeight: height, description } };
    await video.add(packet, i === 0 ? meta : undefined);
  }
  if (sound !== undefined) {
    const step = AAC_FRAME / AAC_RATE;
    const description = Uint8Array.of(0x12, 0x10);
    const meta = { decoderConfig: { codec: 'mp4a.40.2', numberOfChannels: 2, sampleRate: AAC_RATE, description } };
    for (let i = 0; i * step < durationSeconds; i++) {
      await sound.add(new EncodedPacket(SILENCE, 'key', i * step, step), i === 0 ? meta : undefined);
    }
  }
  await output.finalize();
  if (target.buffer === null) throw new Error('the muxer produced no file');
  const bytes = new Uint8Array(target.buffer);
  clearTimes(bytes, 0, bytes.length);
  return bytes;
}

/** Boxes that hold boxes on the way to those with a creation and a modification time. */
const PARENTS = new Set(['moov', 'trak', 'mdia']);
const TIMED = new Set(['mvhd', 'tkhd', 'mdhd']);

/** Sets every time in the file to zero: the muxer writes its own clock, and equal options are to give equal bytes. */
function clearTimes(bytes: Uint8Array, start: number, end: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = start;
  while (at + 8 <= end) {
    const size = view.getUint32(at); // a clip stays far below the 4 GiB that would need the long form
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (PARENTS.has(type)) clearTimes(bytes, at + 8, at + size);
    // Two times of four bytes in version 0, of eight in version 1, after version and flags (ISO/IEC 14496-12, 8.2.2).
    else if (TIMED.has(type)) bytes.fill(0, at + 12, at + 12 + (bytes[at + 8] === 1 ? 16 : 8));
    at += Math.max(size, 8);
  }
}

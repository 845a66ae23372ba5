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

/** AAC-LC, 44.1 kHz, stereo: codec, AudioSpecificConfig, samples of a frame, and a frame of silence. */
const AAC_CODEC = 'mp4a.40.2';
const AAC_CONFIG = Uint8Array.of(0x12, 0x10);
const AAC_RATE = 44_100;
const AAC_FRAME_SAMPLES = 1024;
const SILENCE = Uint8Array.of(0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c);

/** Properties of the file. */
export interface ClipFormat {
  /** Width in pixels, even. */
  readonly width: number;
  /** Height in pixels, even. */
  readonly height: number;
  /** Length of the video track in seconds. */
  readonly durationSeconds: number;
  /** Whether a (silent) AAC track is added. */
  readonly audio: boolean;
}

/** Number of video frames of a clip. */
export function frameCountOf({ durationSeconds }: ClipFormat): number {
  return Math.max(1, Math.round(durationSeconds * CLIP_FPS));
}

/** Writes a stream of 30 frames a second into an MP4 file; equal streams give equal bytes at any time. */
export async function muxMp4(stream: H264Stream, format: ClipFormat): Promise<Uint8Array> {
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: 'in-memory' }), target });
  const video = new EncodedVideoPacketSource('avc');
  output.addVideoTrack(video, { frameRate: CLIP_FPS });
  const audio = format.audio ? new EncodedAudioPacketSource('aac') : undefined;
  if (audio !== undefined) output.addAudioTrack(audio);
  await output.start();
  const { codec, description } = stream;
  const decoderConfig = { codec, codedWidth: format.width, codedHeight: format.height, description };
  for (const [i, { data, isKey }] of stream.samples.entries()) {
    const packet = new EncodedPacket(data, isKey ? 'key' : 'delta', i / CLIP_FPS, 1 / CLIP_FPS);
    await video.add(packet, i === 0 ? { decoderConfig } : undefined);
  }
  if (audio !== undefined) await addSilence(audio, format.durationSeconds);
  await output.finalize();
  if (target.buffer === null) throw new Error('the muxer produced no file');
  const bytes = new Uint8Array(target.buffer);
  clearTimes(bytes, 0, bytes.length);
  return bytes;
}

async function addSilence(audio: EncodedAudioPacketSource, seconds: number): Promise<void> {
  const step = AAC_FRAME_SAMPLES / AAC_RATE;
  const decoderConfig = {
    codec: AAC_CODEC,
    numberOfChannels: 2,
    sampleRate: AAC_RATE,
    description: AAC_CONFIG,
  };
  for (let i = 0; i * step < seconds; i++) {
    await audio.add(new EncodedPacket(SILENCE, 'key', i * step, step), i === 0 ? { decoderConfig } : undefined);
  }
}

/** Boxes on the path to those with a creation and a modification time. */
const PARENTS = new Set(['moov', 'trak', 'mdia']);
const TIMED = new Set(['mvhd', 'tkhd', 'mdhd']);

/** Sets every time in the file to zero: the muxer writes the current time, but equal options must give equal bytes. */
function clearTimes(bytes: Uint8Array, start: number, end: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = start;
  while (at + 8 <= end) {
    const size = view.getUint32(at); // A clip is far below the 4 GiB that would need the 64-bit form.
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (PARENTS.has(type)) clearTimes(bytes, at + 8, at + size);
    // Two times follow version and flags: of four bytes in version 0, of eight in version 1 (ISO/IEC 14496-12, 8.2.2).
    else if (TIMED.has(type)) bytes.fill(0, at + 12, at + 12 + (bytes[at + 8] === 1 ? 16 : 8));
    at += Math.max(size, 8);
  }
}

import { FailureType } from '../contract/failure-type.js';
import type { PixelChange } from '../contract/image-reference.js';
import type { VideoWarning } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';

/** Largest image the provider takes, in bytes: 20 MB (image-to-video API reference, `img_url`). */
export const IMAGE_BYTES_MAX = 20 * 1024 * 1024;
/** Shortest side the provider takes, in pixels (same source). */
export const IMAGE_SIDE_MIN = 240;
/** Longest side the provider takes, in pixels (same source). */
export const IMAGE_SIDE_MAX = 8000;

/** Something that is done to an image before it is sent. */
export interface ImageChange {
  readonly code: Extract<
    VideoWarning['code'],
    'reference_rotated' | 'reference_flattened' | 'reference_converted' | 'reference_stripped'
  >;
  /** A phrase that follows "the image is" or "the image would be". */
  readonly done: string;
}

/** A file in one of the formats that are sent. */
export interface SendableImage {
  readonly sha256: string;
  readonly mime: string;
  readonly ext: string;
  readonly bytes: number;
  /** Pixels as the image is shown. */
  readonly width: number;
  readonly height: number;
}

/** An image that was decoded whole, as its own bytes describe it. */
export interface ExaminedImage extends SendableImage {
  /** What has to be done to it; empty for an image that is fit as it is. */
  readonly changes: readonly ImageChange[];
  /** What is sent, in the file that was named for it; absent when none was, or there is nothing to change. */
  readonly fitted?: SendableImage;
}

/** What the changes do to the pixels; without its metadata an image is the same picture. */
export function pixelChangeOf(changes: readonly ImageChange[]): PixelChange {
  if (changes.some(({ code }) => code === 'reference_flattened')) return 'flat';
  return changes.every(({ code }) => code === 'reference_stripped') ? 'none' : 'fit';
}

/** The faults of an image that must not be changed, each a phrase that follows the name of the field. */
export const strictFaults = (changes: readonly ImageChange[]): string[] =>
  changes.map(({ done }) => `would be ${done}; do so before, or leave out reference_fit, which is strict`);

/** The error for an image with these faults, each a phrase that follows the name of the field. */
export function imageRejected(faults: readonly string[]): VideoError {
  return new VideoError(FailureType.ReferenceRejected, `reference_image ${faults.join('; it ')}`, {
    issues: faults.map((message) => ({ path: 'reference_image', message })),
    billed: false,
    nextStep: 'Give another image; nothing was bought.',
  });
}

import type { ReadTrack } from './mp4-fragments.js';
import type { Mp4Index } from './mp4-index.js';

/**
 * Differences between what an index claims and what its frames last that are no fault: a movie's time scale rounds (by
 * up to 1/600 s), a writer may leave out the length of the last frame, and one or two frames of sound (46 ms) come
 * before the first picture.
 */
const TOLERANCE_SECONDS = 0.1;

/** Seconds of a track that are shown: its samples, as far as its edit list shows them; pauses are not counted. */
export function shownSeconds({ movieTimescale, isFragmented }: Mp4Index, read: ReadTrack): number {
  const { track, samples, tableSeconds } = read;
  const { timescale } = track;
  const { earliest, latest } = samples;
  const edits = track.edits.filter(({ mediaTime }) => mediaTime >= 0);
  if (edits.length === 0) return (latest - earliest) / timescale;
  let shown = 0;
  for (const [index, { seconds, mediaTime, rate }] of edits.entries()) {
    // A writer that did not know the later fragments names the length of the first one, or none.
    const isOpen = isFragmented && index === edits.length - 1 && seconds <= tableSeconds + TOLERANCE_SECONDS;
    const end = isOpen ? latest : mediaTime + seconds * timescale * rate;
    // An edit is given in the movie's time scale, which is coarser than the frames'.
    const to = Math.abs(latest - end) <= timescale / movieTimescale ? latest : Math.min(latest, end);
    shown += Math.max(0, to - Math.max(mediaTime, earliest)) / (rate > 0 ? rate : 1);
  }
  return shown / timescale;
}

/**
 * Compares what the index claims about lengths with what its samples last.
 * @returns the first disagreement.
 */
export function faultOfClaims(index: Mp4Index, tracks: readonly ReadTrack[]): string | undefined {
  const ends: number[] = [];
  for (const read of tracks) {
    const { track, samples } = read;
    const lasts = samples.total / track.timescale;
    const pauses = track.edits.filter(({ mediaTime }) => mediaTime < 0).reduce((sum, { seconds }) => sum + seconds, 0);
    const end = pauses + shownSeconds(index, read);
    ends.push(end);
    const what = track.what === 'frame' ? 'pictures' : 'sound';
    const frame = lasts / samples.count;
    // In a fragmented file these are about what the index itself describes, or about nothing.
    if (index.isFragmented) continue;
    const { media, track: whole } = track.claims;
    if (differ(media, lasts, frame)) return contradiction(`its ${what}`, media, lasts);
    if (differ(whole, end, frame)) return contradiction(`the track of its ${what}`, whole, end);
  }
  const last = Math.max(...ends);
  return differ(index.claimedSeconds, last, 0) ? contradiction('the movie', index.claimedSeconds, last) : undefined;
}

function differ(claimed: number | undefined, actual: number, frame: number): claimed is number {
  return claimed !== undefined && !(Math.abs(claimed - actual) <= Math.max(TOLERANCE_SECONDS, frame));
}

const contradiction = (what: string, claimed: number | undefined, actual: number): string =>
  `has an index that contradicts itself: ${what} should last ${claimed?.toFixed(2)} s and lasts ${actual.toFixed(2)} s`;

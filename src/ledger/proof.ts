import type { TaskSnapshot } from '../dashscope/wire.js';
import type { Expectation } from './records.js';

/** How one property of a found task compares: `unsure` forbids a guess either way. */
export type Match = 'equal' | 'unsure' | 'different';

/** A finished candidate, field by field. */
export interface Comparison {
  readonly prompt: Match;
  readonly usage: Match;
  readonly shape: Match;
}

/** Pixels of each tier, image-to-video API reference. */
const PIXELS = { '720P': 921_600, '1080P': 2_073_600 } as const;
const LINES = { '720P': 720, '1080P': 1080 } as const;
/** The provider rounds each side down to a multiple of 16 by its documents, of 2 where it was measured. */
const ROUNDING = 16;

/** Space, line ends and composed characters may change on the way without changing the text. */
const plain = (text: string): string => text.normalize('NFC').replace(/\s+/g, ' ').trim();
/**
 * What stays when case, width, accents, punctuation and space are taken away. Accents, because a text that was cut behind a letter
 * may have lost the accent that belongs to it.
 */
const bare = (text: string): string =>
  text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '');

/**
 * Compares the prompt that was sent with the one that the provider shows.
 * @returns `unsure` for one that is absent, cut, extended, or differs only in case, width, accents, punctuation or space.
 */
export function comparePrompts(sent: string, shown: string | undefined): Match {
  if (shown === undefined || shown.trim() === '') return 'unsure';
  if (plain(sent) === plain(shown)) return 'equal';
  const a = bare(sent);
  const b = bare(shown);
  return a === b || a.includes(b) || b.includes(a) ? 'unsure' : 'different';
}

/** Compares what would be billed for the request with what was billed for the task. */
export function compareUsage(expects: Expectation, usage: TaskSnapshot['usage']): Match {
  if (usage === undefined) return 'unsure';
  if (usage.duration !== expects.duration) return 'different';
  if (usage.sr !== undefined && usage.sr !== LINES[expects.resolution]) return 'different';
  if (usage.audio !== undefined && usage.audio !== expects.audio) return 'different';
  return usage.sr === undefined || usage.audio === undefined ? 'unsure' : 'equal';
}

/** Compares a video's pixels with those that the provider makes of the image: the tier's count in the image's shape. */
export function compareShape(
  expects: Expectation,
  video: { readonly width: number; readonly height: number } | undefined,
): Match {
  if (expects.image === null || video === undefined) return 'unsure';
  const ratio = expects.image.width / expects.image.height;
  const width = Math.sqrt(PIXELS[expects.resolution] * ratio);
  const near = (real: number, ideal: number) => Math.abs(real - ideal) <= ROUNDING;
  return near(video.width, width) && near(video.height, width / ratio) ? 'equal' : 'different';
}

/** One word for all: a single difference excludes, a single doubt forbids a guess. */
export function combineMatches({ prompt, usage, shape }: Comparison): Match {
  const all = [prompt, usage, shape];
  if (all.includes('different')) return 'different';
  return all.includes('unsure') ? 'unsure' : 'equal';
}

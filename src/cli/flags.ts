import { InvalidArgumentError } from 'commander';
import { PRESIGN_SECONDS_MAX } from '../contract/bounds.js';
import { DELIVERY_REPORTS, type DeliveryReport } from '../contract/delivery.js';
import type { Issue } from '../contract/video-error.js';

/** The flag that every command has. */
export const JSON_FLAG = ['--json', 'print one JSON document on stdout, also for errors'] as const;

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** Parser of a whole number. */
export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };

/**
 * Parser of a time such as `90s` or `7d`, in seconds.
 * @param units - Those that are taken, such as `hd`.
 * @param expected - The end of the error's sentence "It must be …".
 */
export const duration =
  (expected: string, { units = 'smhd', minSeconds = 0, maxSeconds = Number.POSITIVE_INFINITY } = {}) =>
  (text: string): number => {
    const [, amount, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
    const seconds = units.includes(unit) ? Number(amount) * SECONDS[unit as keyof typeof SECONDS] : Number.NaN;
    if (seconds >= minSeconds && seconds <= maxSeconds) return seconds;
    throw new InvalidArgumentError(`It must be ${expected}.`);
  };

/** Parser of how long a signed address is valid, in seconds. */
export const linkTime = duration('a time such as 90s, 15m or 1h, at most 7d', {
  minSeconds: 1,
  maxSeconds: PRESIGN_SECONDS_MAX,
});

/** Parser of a list of documents, such as `csv,html`. */
export function deliveryReports(text: string): readonly DeliveryReport[] {
  const names = text.split(',').map((name) => name.trim());
  const isKnown = (name: string): name is DeliveryReport => (DELIVERY_REPORTS as readonly string[]).includes(name);
  if (names.every(isKnown)) return names;
  throw new InvalidArgumentError(`It must be some of ${DELIVERY_REPORTS.join(', ')}, separated by commas.`);
}

/** The flags that say where a batch delivers. */
export const DELIVER_FLAGS = {
  deliver: [
    '--deliver <pattern>',
    "at its end, copy each video in the store to this name, such as 'delivery/{date}/{item_id}.mp4'; also " +
      '{label:NAME}, {tenant}',
  ],
  report: ['--deliver-report <formats>', 'write reports next to them: csv, html, json, or several of them'],
} as const;

/** The flag that names who is notified. */
export const RECEIVER_FLAG = [
  '--receiver <name>',
  "name of the receiver of its events in the workers' webhook file",
] as const;

/** Parser of a flag that may be repeated. */
export const collect = (value: string, values: readonly string[] = []): readonly string[] => [...values, value];

/** Reads `NAME=VALUE` flags. */
export function parseLabels(flags: readonly string[]): {
  readonly values: Record<string, string>;
  readonly issues: readonly Issue[];
} {
  const issues = flags
    .filter((flag) => flag.indexOf('=') < 1)
    .map((flag) => ({ path: 'labels', message: `"${flag}" is not NAME=VALUE; write for example --label team=film` }));
  const pairs = flags.map((flag) => [flag.slice(0, flag.indexOf('=')), flag.slice(flag.indexOf('=') + 1)] as const);
  return { values: Object.fromEntries(pairs.filter(([name]) => name !== '')), issues };
}

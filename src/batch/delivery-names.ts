import { fillPattern, isDeviceName } from '../contract/delivery.js';
import type { Issue } from '../contract/video-error.js';
import { isKeySegment } from '../storage/store-key.js';

/** The parts of a line that its name is made of. */
export interface NamedLine {
  readonly line: number;
  readonly item_id: string;
  readonly tenant?: string | null | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Longest key, in bytes: S3's limit. */
const KEY_MAX = 1024;
const PATH = 'deliver';

/** Gives each line of a batch the name of its delivered video, and finds the lines that cannot have one. */
export class DeliveryNames {
  readonly #pattern: string;
  readonly #taken = new Map<string, number>();

  /** @param pattern - One without faults. */
  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  /** The key of a line's video, or why there is none. */
  keyOf({
    item_id,
    tenant,
    labels = {},
  }: Omit<NamedLine, 'line'>): { readonly key: string } | { readonly fault: string } {
    const missing: string[] = [];
    const filled = fillPattern(this.#pattern, (name) => {
      if (name === 'date') return '0000-00-00'; // only before a batch is opened
      const label = name.startsWith('label:') ? name.slice('label:'.length) : undefined;
      const value = label !== undefined ? ownValue(labels, label) : name === 'tenant' ? tenant : item_id;
      if (value == null || value === '') missing.push(label === undefined ? `no ${name}` : `no label ${label}`);
      return writeName(value ?? '');
    });
    if (missing.length > 0) return { fault: `needs a value for the name of its file: it has ${missing.join(' and ')}` };
    const segments = filled.split('/').map((segment) => (isDeviceName(segment) ? escapeFirst(segment) : segment));
    const key = segments.join('/');
    const odd = segments.find((segment) => !isKeySegment(segment));
    if (odd !== undefined || key.length > KEY_MAX) {
      return { fault: `gives its file a name that is too long or has two dots: ${shown(odd ?? key)}` };
    }
    // A folder with the name of a file could not exist next to it on a disk.
    const folder = segments.slice(0, -1).find((segment) => segment.toLowerCase().endsWith('.mp4'));
    return folder === undefined ? { key } : { fault: `gives a folder the name of a video: ${shown(folder)}` };
  }

  /** Takes a line's name; the faults say why it cannot have it. Names that differ in case only are equal. */
  claim(line: NamedLine): Issue[] {
    const named = this.keyOf(line);
    if ('fault' in named) return [{ path: PATH, message: named.fault }];
    const name = named.key.toLowerCase();
    const first = this.#taken.get(name);
    if (first !== undefined) {
      return [{ path: PATH, message: `gives its file the name of line ${first}: ${shown(named.key)}` }];
    }
    this.#taken.set(name, line.line);
    return [];
  }
}

/** A value as a part of a name: what no name may hold, and dots at its ends, become `~` and two hex digits each. */
export function writeName(value: string): string {
  let name = '';
  for (const byte of Buffer.from(value, 'utf8')) {
    const char = String.fromCharCode(byte);
    name += /[A-Za-z0-9_.=@+,-]/.test(char) ? char : `~${byte.toString(16).padStart(2, '0')}`;
  }
  return name.replace(/^\.|\.$/g, '~2e').replace(/\.\./g, '.~2e');
}

/** A name with its first character, which is ASCII, as `~` and two hex digits. */
const escapeFirst = (name: string): string => `~${name.charCodeAt(0).toString(16).padStart(2, '0')}${name.slice(1)}`;

const ownValue = (labels: Readonly<Record<string, string>>, name: string): string | undefined =>
  Object.hasOwn(labels, name) ? labels[name] : undefined;

const shown = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);

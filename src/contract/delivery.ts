/** A kind of document that a batch can write next to its delivered videos. */
export type DeliveryReport = 'csv' | 'html' | 'json';
export const DELIVERY_REPORTS: readonly DeliveryReport[] = ['csv', 'html', 'json'];

/** Where a batch delivers: as it was requested, with the date of the batch in the place of `{date}`. */
export interface BatchDeliveryPlan {
  readonly pattern: string;
  readonly reports: readonly DeliveryReport[];
}

/** A line whose video is not under its name, or a document that is not. */
export interface DeliveryProblem {
  /** Null for a document. */
  readonly item_id: string | null;
  /** The name that it should have; null when it gets none. */
  readonly key: string | null;
  readonly message: string;
}

/** What came of the delivery of a batch. */
export interface BatchDelivery {
  /** Names of the videos in the store, as keys. */
  readonly pattern: string;
  /** Stable address of the folder with all of them. */
  readonly folder_url: string | null;
  /** Lines whose video is there under its name, verified. */
  readonly files: number;
  /** Lines without a video. A retry of the batch delivers to the same place. */
  readonly missing: number;
  /** Lines whose video could not get its name. */
  readonly undelivered: number;
  /** Why, for the first of them; the reports and `batch report` have all. */
  readonly problems: readonly DeliveryProblem[];
  /** Stable addresses of the documents. */
  readonly reports: readonly string[];
  /** Why the delivery did not come to its end; null: it did. */
  readonly failure: string | null;
}

export const DATE_PLACEHOLDER = '{date}';
/** Folders of the store that hold the product's own objects; a delivery goes elsewhere. */
export const RESERVED_FOLDERS: readonly string[] = [
  'audits',
  'batches',
  'cache',
  'candidates',
  'conformed',
  'ledger',
  'manifests',
  'probes',
  'references',
  'rejected',
  'stats',
  'store.json',
  'videos',
];
/** Characters of a pattern. */
const PATTERN_MAX = 500;
const ENDING = '.mp4';

const PLACEHOLDER = /\{([^{}]*)\}/g;
/** One name of a key, as in `src/storage/store-key.ts`. */
const NAME = /^[A-Za-z0-9_~=@+,-](?:[A-Za-z0-9._~=@+,-]*[A-Za-z0-9_~=@+,-])?$/;

/** A name that Windows keeps for a device, with any ending: such a file can be neither made nor copied there. */
export const isDeviceName = (name: string): boolean => /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i.test(name);

/**
 * Lists every fault of a pattern for the names of delivered videos, such as `delivery/{date}/{item_id}.mp4`; none: it
 * names files of one folder of the store, which holds nothing else of the product.
 */
export function deliveryPatternFaults(pattern: unknown): string[] {
  if (typeof pattern !== 'string' || pattern.trim() === '') {
    return ['is empty; write it as delivery/{date}/{item_id}.mp4'];
  }
  if (pattern.length > PATTERN_MAX) return [`has ${pattern.length} characters; the limit is ${PATTERN_MAX}`];
  const names = [...pattern.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
  const unknown = names.filter((name) => !/^(?:date|item_id|tenant|label:.+)$/.test(name));
  const literal = pattern.replace(PLACEHOLDER, 'x');
  const segments = literal.split('/');
  const [folder = ''] = pattern.split('/');
  const isOdd = (segment: string) => segment !== '' && segment !== '.' && segment !== '..' && !NAME.test(segment);
  const faults: (string | false)[] = [
    ...unknown.map(
      (name) => `has the unknown placeholder {${name}}; known are {date}, {item_id}, {label:NAME}, {tenant}`,
    ),
    /[{}]/.test(literal) && 'has a brace that is no part of a placeholder',
    /^(?:\/|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*:\/)/.test(literal) &&
      'must be a path inside the store: it must not begin with / or with an address',
    segments.some((segment) => segment === '.' || segment === '..') && 'must not leave its folder: it holds . or ..',
    segments.slice(1).includes('') && 'has an empty name between two slashes or at its end',
    segments.some(isOdd) &&
      'may hold ASCII letters, digits and . _ ~ = @ + , - outside of placeholders, and no name may begin or end with ' +
        'a dot or hold two dots',
    segments.some(isDeviceName) &&
      'has a name that Windows keeps for a device, such as CON, AUX, NUL, COM1 or LPT1, with or without an ending',
    segments.length === 1 && 'must name a folder before the file, such as delivery/',
    RESERVED_FOLDERS.includes(folder.toLowerCase()) &&
      `must not begin with ${folder}/, where the store keeps its own objects`,
    /\{(?!date\})/.test(folder) && 'must begin with a folder of a fixed name, or of {date}',
    !names.some((name) => name === 'item_id' || name.startsWith('label:')) &&
      'gives several lines one name; use {item_id} in it',
    !literal.toLowerCase().endsWith(ENDING) && `must end with ${ENDING}`,
  ];
  return faults.filter((fault) => fault !== false);
}

/** The folder of a pattern: the names before the first one that differs between lines. */
export function deliveryFolder(pattern: string): string {
  const names = pattern.split('/').slice(0, -1);
  const first = names.findIndex((name) => /\{(?!date\})/.test(name));
  return names.slice(0, first === -1 ? names.length : first).join('/');
}

/** The pattern with a value for each placeholder; `value` gets the placeholder's name. */
export const fillPattern = (pattern: string, value: (name: string) => string): string =>
  pattern.replace(PLACEHOLDER, (_, name: string) => value(name));

import { REQUEST_BYTES_MAX } from '../contract/bounds.js';
import { FailureType } from '../contract/failure-type.js';
import { isReference, PLACEHOLDER_REFERENCE } from '../contract/image-reference.js';
import { firstIssues } from '../contract/issues.js';
import { isSignedUrl, withoutSignedAudio } from '../contract/signed-url.js';
import { requestIssues } from '../contract/validate.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { DeliveryNames, type NamedLine } from './delivery-names.js';
import { readLines } from './line-reader.js';
import { linesOfTakes } from './takes.js';

/** A valid line of a manifest: a request and its id. */
export interface ManifestItem {
  /** Number of the line, from 1. */
  readonly line: number;
  readonly itemId: string;
  /** For people only, such as the reason why the line is run again. */
  readonly comment: string | undefined;
  /** Fields of the request. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Path of an image on this machine, or a `data:` URI, as written in the line: it is to be checked and staged. */
  readonly image: string | undefined;
}

/** A line of a manifest with its faults. */
export interface ManifestFault {
  readonly line: number;
  readonly itemId: string | null;
  readonly issues: readonly Issue[];
  /** Fields of the line; null when it could not be read. */
  readonly fields: Readonly<Record<string, unknown>> | null;
}

export type ManifestEntry =
  | { readonly kind: 'item'; readonly item: ManifestItem }
  /** `image`, if the line has one, is still to be checked, so that all faults of the line are listed at once. */
  | { readonly kind: 'fault'; readonly fault: ManifestFault; readonly image: string | undefined };

/** A line is a request with an id and a comment. */
export const LINE_BYTES_MAX = REQUEST_BYTES_MAX;

/** Fields of a line that are not part of the request; `line` and `same_as` of the input are ignored. */
const OWN_FIELDS = ['item_id', 'comment', 'line', 'same_as'];
/** An id is part of workflow ids, file names and spreadsheets. */
const ITEM_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** How a manifest is read. */
export interface ReadManifestOptions {
  /** Whether an image may be a path on this machine, which the reader can stage. */
  readonly localImages: boolean;
}

/**
 * Reads a manifest line by line and checks each line: JSON, fields, ids. Only the ids are kept in memory. Empty lines
 * are skipped; no image is opened.
 */
export async function* readManifest(
  body: AsyncIterable<Uint8Array>,
  options: ReadManifestOptions,
): AsyncGenerator<ManifestEntry> {
  const ids = new Map<string, number>();
  let lines = 0;
  for await (const { number, bytes } of readLines(body, LINE_BYTES_MAX)) {
    const entries = parseLine(number, bytes, ids, options);
    lines += entries.length;
    yield* entries;
  }
  if (lines === 0) yield faultOf(1, [{ path: '', message: 'is missing: the manifest holds no request' }]);
}

/**
 * Reads a whole manifest without local images: its number of valid lines, and its faults.
 * @param deliver - Pattern of the names that its videos get.
 */
export async function checkManifest(
  body: AsyncIterable<Uint8Array>,
  deliver?: string,
): Promise<{ readonly items: number; readonly faults: readonly ManifestFault[] }> {
  const faults: ManifestFault[] = [];
  let items = 0;
  for await (const entry of withNames(readManifest(body, { localImages: false }), deliver)) {
    if (entry.kind === 'fault') faults.push(entry.fault);
    else items += 1;
  }
  return { items, faults };
}

/**
 * Passes the lines on; a valid one that cannot get a name of its own becomes a fault.
 * @param deliver - Pattern of the names; undefined: there are none.
 */
export async function* withNames(entries: AsyncIterable<ManifestEntry>, deliver: string | undefined) {
  const names = deliver === undefined ? undefined : new DeliveryNames(deliver);
  for await (const entry of entries) {
    const issues = names === undefined || entry.kind === 'fault' ? [] : names.claim(nameParts(entry.item));
    if (issues.length === 0 || entry.kind === 'fault') yield entry;
    else yield faultOf(entry.item.line, issues, entry.item.itemId, entry.item.fields);
  }
}

const nameParts = ({ line, itemId, fields }: ManifestItem): NamedLine => {
  const { tenant, labels } = fields as Pick<NamedLine, 'tenant' | 'labels'>; // a valid line has no others
  return { line, item_id: itemId, tenant, labels: labels ?? {} };
};

/** Returns nothing for an empty line, and several items for one with `takes`. */
function parseLine(
  line: number,
  bytes: Uint8Array | null,
  ids: Map<string, number>,
  { localImages }: ReadManifestOptions,
): readonly ManifestEntry[] {
  if (bytes === null) {
    const message = `is longer than ${LINE_BYTES_MAX} bytes; give the image as a path or URL`;
    return [faultOf(line, [{ path: '', message }])];
  }
  const text = decodeText(bytes, line === 1);
  if (text === undefined) return [faultOf(line, [{ path: '', message: 'is not UTF-8; save the file as UTF-8' }])];
  if (text.trim() === '') return [];
  const fields = parseObject(text);
  if (typeof fields === 'string') return [faultOf(line, [{ path: '', message: fields }])];

  const { item_id, ...others } = fields;
  const id = item_id ?? defaultId(line);
  const lineFault = (issues: readonly Issue[], image?: string) =>
    faultOf(line, issues, typeof id === 'string' ? id : null, withoutSignedAudio(fields), image);
  const takes = linesOfTakes(others, id);
  if ('message' in takes) return [lineFault([takes])];
  const items: ManifestEntry[] = [];
  for (const [itemId, take] of takes) {
    const item = parseItem(line, itemId, take, ids, localImages);
    // The takes of a line have the same faults, which are those of the line.
    if ('issues' in item) return [lineFault(item.issues, item.image)];
    items.push({ kind: 'item', item });
  }
  return items;
}

function parseItem(
  line: number,
  itemId: unknown,
  fields: Readonly<Record<string, unknown>>,
  ids: Map<string, number>,
  localImages: boolean,
): ManifestItem | { readonly issues: readonly Issue[]; readonly image: string | undefined } {
  const { comment, ...others } = fields;
  const request = Object.fromEntries(Object.entries(others).filter(([name]) => !OWN_FIELDS.includes(name)));
  const image = request['reference_image'];
  const isLocal = localImages && typeof image === 'string' && image !== '' && !isReference(image);
  const isContent = typeof image === 'string' && image.startsWith('data:');
  const ownImage = isLocal || isContent ? image : undefined;
  const issues = [
    ...idIssues(itemId, line, ids),
    ...commentIssues(comment),
    ...audioIssues(request['audio_url']),
    ...requestIssues(isLocal ? { ...request, reference_image: PLACEHOLDER_REFERENCE } : request),
  ];
  if (typeof itemId !== 'string' || issues.length > 0) {
    // The content of an image whose form is wrong is not looked at.
    const isSound = !issues.some(({ path }) => path === 'reference_image');
    return { issues, image: isSound ? ownImage : undefined };
  }
  return {
    line,
    itemId,
    comment: typeof comment === 'string' ? comment : undefined,
    fields: request,
    image: ownImage,
  };
}

/** Padded, so that the lines of a file of 10 000 sort by their numbers. */
const defaultId = (line: number): string => `line-${String(line).padStart(5, '0')}`;

/** Adds a valid id to `ids`. */
function idIssues(itemId: unknown, line: number, ids: Map<string, number>): Issue[] {
  if (typeof itemId !== 'string' || !ITEM_ID.test(itemId)) {
    const message = 'must be 1 to 100 letters, digits, dots, dashes or underscores, a letter or digit first';
    return [{ path: 'item_id', message }];
  }
  // Two ids that differ in case only would name the same file where case is ignored.
  const first = ids.get(itemId.toLowerCase());
  if (first !== undefined) {
    return [{ path: 'item_id', message: `is the same as that of line ${first}; give each line its own` }];
  }
  ids.set(itemId.toLowerCase(), line);
  return [];
}

/** The manifest is kept, and its items may wait for days. */
const audioIssues = (url: unknown): Issue[] =>
  typeof url === 'string' && isSignedUrl(url)
    ? [
        {
          path: 'audio_url',
          message:
            'is a signed address: a batch would keep it, and it may expire before its turn; give an address without ' +
            'a signature, or an oss:// address',
        },
      ]
    : [];

const commentIssues = (comment: unknown): Issue[] =>
  comment === undefined || comment === null || typeof comment === 'string'
    ? []
    : [{ path: 'comment', message: 'must be text' }];

function decodeText(bytes: Uint8Array, isFirst: boolean): string | undefined {
  try {
    // A byte-order mark is allowed at the beginning of the file; in any other line it makes the JSON invalid.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: !isFirst }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Returns the fault of a text that is not a JSON object. */
function parseObject(text: string): Record<string, unknown> | string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    return 'is not one JSON object with the fields of videoGenerate';
  } catch {
    // The parser's own message is left out, because it quotes the line.
    return 'is not JSON; write one object on one line, without a comma at its end';
  }
}

const faultOf = (
  line: number,
  issues: readonly Issue[],
  itemId: string | null = null,
  fields: ManifestFault['fields'] = null,
  image?: string,
): ManifestEntry => ({ kind: 'fault', fault: { line, itemId, issues, fields }, image });

/** The faults as issues of the manifest as a whole, such as `line 7, duration`. */
export const lineIssues = (faults: readonly ManifestFault[]): Issue[] =>
  faults.flatMap(({ line, issues }) =>
    issues.map(({ path, message }) => ({ path: `line ${line}${path === '' ? '' : `, ${path}`}`, message })),
  );

/** The error for a manifest with faults; nothing has been bought. */
export function invalidManifest(name: string, faults: readonly ManifestFault[]): VideoError {
  const lines = faults.length === 1 ? 'one line' : `${faults.length} lines`;
  return new VideoError(FailureType.InvalidRequest, `The manifest ${name} has faults in ${lines}`, {
    issues: firstIssues(lineIssues(faults)),
    billed: false,
    nextStep:
      'Correct the named lines, or run the valid ones with --allow-invalid (allow_invalid). Nothing was bought.',
  });
}

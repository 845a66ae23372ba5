import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { SpoolFile } from '../net/spool.js';
import type { AssetStore } from '../storage/asset-store.js';
import { readLines } from './line-reader.js';
import {
  invalidManifest,
  type ManifestEntry,
  type ManifestFault,
  type ManifestItem,
  readManifest,
  withNames,
} from './manifest.js';
import {
  DuplicateFinder,
  decodeStoredLine,
  encodeStoredLine,
  STORED_LINE_BYTES_MAX,
  type StoredItem,
} from './stored-line.js';

/** What is done with the images that lines name. */
export interface ManifestImages {
  /** Finds the faults of an image on this machine or of a `data:` URI; undefined when paths are not allowed. */
  readonly check?: (image: string) => Promise<readonly Issue[]>;
  /** Stages a `data:` URI, or a path that was checked, and resolves its `asset:` reference. */
  readonly stage: (image: string) => Promise<string>;
}

export interface PrepareOptions {
  /** Name of the manifest, for messages. */
  readonly name: string;
  readonly images: ManifestImages;
  /** Leave out lines with faults instead of refusing the whole manifest. */
  readonly allowInvalid: boolean;
  /** Pattern of the names that its videos get; a line that gets none of its own is a fault. */
  readonly deliver?: string | undefined;
  /** The error for lines with faults; default: `InvalidRequest` with the faults by line. */
  readonly refusal?: (faults: readonly ManifestFault[]) => VideoError;
  readonly signal?: AbortSignal | undefined;
}

/** A checked manifest as it will be stored; its files exist until {@link PreparedManifest.dispose}. */
export interface PreparedManifest {
  readonly items: number;
  /** Items that request the same video as an earlier one. */
  readonly duplicates: number;
  /** Lines that are left out. */
  readonly faults: readonly ManifestFault[];
  readonly bytes: number;
  /** SHA-256 (hex). */
  readonly sha256: string;
  /** Streams its items in their order. */
  lines(): AsyncGenerator<StoredItem>;
  /** Stores it under `key` unless the key exists. */
  put(store: AssetStore, key: string): Promise<{ readonly stored: boolean }>;
  dispose(): Promise<void>;
}

/** Enough to keep a disk and the connection to the store busy; each image needs the memory of one chunk. */
const IMAGES_AT_ONCE = 16;

/** Faults by line, so that a line that fails in both passes is listed once. */
type Faults = Map<number, ManifestFault>;

/**
 * Checks every line and every image of a manifest, and then stages the images; both in parallel, in flat memory.
 * @param open - Streams the manifest from its beginning; called twice.
 * @throws VideoError `InvalidRequest` with every fault by line, before anything is staged; also when no line is valid.
 */
export async function prepareManifest(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  { name, images, allowInvalid, signal, deliver, refusal = (lines) => invalidManifest(name, lines) }: PrepareOptions,
): Promise<PreparedManifest> {
  const faults: Faults = new Map();
  const entries = async () => readManifest(await open(), { localImages: images.check !== undefined });
  const assertUsable = (validLines: number): void => {
    if (validLines === 0 || (faults.size > 0 && !allowInvalid)) throw refusal(byLine(faults));
  };
  assertUsable(await checkLines(withNames(await entries(), deliver), images.check ?? (async () => []), faults, signal));

  const folder = await mkdtemp(join(tmpdir(), 'wan-video-manifest-'));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    const file = join(folder, 'manifest.jsonl');
    const spool = await SpoolFile.create(file);
    const written = await writeLines(await entries(), images.stage, spool, faults, signal).finally(() => spool.close());
    assertUsable(written.items);
    const { bytes, sha256 } = spool.result();
    return {
      ...written,
      faults: byLine(faults),
      bytes,
      sha256,
      lines: () => storedItems(file),
      put: (store, key) => {
        const options = { ifAbsent: true, bytes, sha256, contentType: 'application/x-ndjson', signal } as const;
        return store.put(key, createReadStream(file), options);
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Counts the valid lines, and adds the faults of the others to `faults`. */
async function checkLines(
  entries: AsyncIterable<ManifestEntry>,
  check: (path: string) => Promise<readonly Issue[]>,
  faults: Faults,
  signal: AbortSignal | undefined,
): Promise<number> {
  const checkOnce = once(check);
  let valid = 0;
  for await (const entry of mapParallel(entries, IMAGES_AT_ONCE, (one) => checkImage(one, checkOnce))) {
    signal?.throwIfAborted();
    if (entry.kind === 'fault') faults.set(entry.fault.line, entry.fault);
    else valid += 1;
  }
  return valid;
}

/** Stages the images of the lines without faults and writes these lines; adds faults that show only now to `faults`. */
async function writeLines(
  entries: AsyncIterable<ManifestEntry>,
  stage: (image: string) => Promise<string>,
  spool: SpoolFile,
  faults: Faults,
  signal: AbortSignal | undefined,
): Promise<{ readonly items: number; readonly duplicates: number }> {
  const stageOnce = once(stage);
  const duplicateFinder = new DuplicateFinder();
  let items = 0;
  let duplicates = 0;
  for await (const staged of mapParallel(entries, IMAGES_AT_ONCE, (entry) => stageImage(entry, faults, stageOnce))) {
    signal?.throwIfAborted();
    if (staged === undefined) continue;
    const line = 'fault' in staged ? staged : encodeItem(staged, duplicateFinder);
    if ('fault' in line) {
      faults.set(line.fault.line, line.fault);
      continue;
    }
    await spool.append(line.bytes);
    items += 1;
    if (line.isDuplicate) duplicates += 1;
  }
  return { items, duplicates };
}

async function* storedItems(file: string): AsyncGenerator<StoredItem> {
  for await (const { bytes } of readLines(createReadStream(file), STORED_LINE_BYTES_MAX)) {
    if (bytes !== null) yield decodeStoredLine(bytes); // none is too long, because all of them were written here
  }
}

const byLine = (faults: Faults): ManifestFault[] => [...faults.values()].sort((a, b) => a.line - b.line);

/** The step with its results remembered, because many lines may name the same image. */
function once<R>(step: (image: string) => Promise<R>): (image: string) => Promise<R> {
  const results = new Map<string, Promise<R>>();
  return (image) => {
    // A data: URI is the content itself; remembering all of them would need too much memory.
    if (image.startsWith('data:')) return step(image);
    const result = results.get(image) ?? step(image);
    results.set(image, result);
    return result;
  };
}

async function checkImage(
  entry: ManifestEntry,
  check: (path: string) => Promise<readonly Issue[]>,
): Promise<ManifestEntry> {
  const image = entry.kind === 'item' ? entry.item.image : entry.image;
  const issues = image === undefined ? [] : await check(image);
  if (issues.length === 0) return entry;
  const fault = entry.kind === 'item' ? faultOf(entry.item, issues) : withIssues(entry.fault, issues);
  return { kind: 'fault', fault, image };
}

/** An item whose image a worker can read. */
interface StagedItem {
  readonly item: ManifestItem;
  readonly reference: unknown;
}

interface Faulty {
  readonly fault: ManifestFault;
}

/** Returns undefined for a line that was found faulty before. */
async function stageImage(
  entry: ManifestEntry,
  faults: Faults,
  stage: (image: string) => Promise<string>,
): Promise<StagedItem | Faulty | undefined> {
  if (entry.kind === 'fault') return { fault: entry.fault };
  const { item } = entry;
  if (faults.has(item.line)) return undefined;
  if (item.image === undefined) return { item, reference: item.fields['reference_image'] };
  try {
    return { item, reference: await stage(item.image) };
  } catch (error) {
    return { fault: faultOf(item, issuesOfLine(error)) };
  }
}

function encodeItem(
  { item, reference }: StagedItem,
  duplicates: DuplicateFinder,
): ReturnType<typeof encodeStoredLine> | Faulty {
  try {
    return encodeStoredLine(item, reference, duplicates);
  } catch (error) {
    return { fault: faultOf(item, issuesOfLine(error)) };
  }
}

/** The issues of an error that is the line's fault; any other error is thrown again. */
function issuesOfLine(error: unknown): readonly Issue[] {
  const faultTypes: readonly string[] = [FailureType.InvalidRequest, FailureType.ReferenceRejected];
  if (error instanceof VideoError && faultTypes.includes(error.type) && error.issues !== undefined) return error.issues;
  throw error;
}

const faultOf = ({ line, itemId, fields }: ManifestItem, issues: readonly Issue[]): ManifestFault => ({
  line,
  itemId,
  issues,
  fields,
});

const withIssues = (fault: ManifestFault, issues: readonly Issue[]): ManifestFault => ({
  ...fault,
  issues: [...fault.issues, ...issues],
});

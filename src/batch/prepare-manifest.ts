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
  EqualLines,
  invalidManifest,
  type ManifestEntry,
  type ManifestFault,
  type ManifestItem,
  readManifest,
  readStoredLine,
  STORED_LINE_BYTES_MAX,
  type StoredItem,
  storedLine,
} from './manifest.js';

/** What becomes of the images that lines name. */
export interface ManifestImages {
  /** Faults of an image of this machine; undefined for who cannot open one. */
  readonly check?: (path: string) => Promise<readonly Issue[]>;
  /** Brings an image into the store and resolves its `asset:` reference; a `data:` URI, or a path that was checked. */
  readonly stage: (image: string) => Promise<string>;
}

export interface PrepareOptions {
  /** Of the manifest, for messages. */
  readonly name: string;
  readonly images: ManifestImages;
  /** Leave lines with faults out, instead of refusing the whole. */
  readonly allowInvalid: boolean;
  /** The error for lines with faults; default: by line of the named manifest. */
  readonly refusal?: (faults: readonly ManifestFault[]) => VideoError;
  readonly signal?: AbortSignal | undefined;
}

/** A manifest that was checked, as it will be stored; its files live until {@link PreparedManifest.dispose}. */
export interface PreparedManifest {
  readonly items: number;
  /** Of the items, those that ask for the same video as an earlier one. */
  readonly duplicates: number;
  /** Lines that are left out. */
  readonly faults: readonly ManifestFault[];
  readonly bytes: number;
  /** SHA-256 (hex). */
  readonly sha256: string;
  /** Its items, in their order. */
  lines(): AsyncGenerator<StoredItem>;
  /** Writes it under `key` when that is free. */
  put(store: AssetStore, key: string): Promise<{ readonly stored: boolean }>;
  dispose(): Promise<void>;
}

/** Enough to keep a disk and a link to the store busy; each holds a chunk of an image. */
const IMAGES_AT_ONCE = 16;

/**
 * Checks a manifest whole, every line and every image, and then stages the images; both in parallel and in flat memory.
 * @param open - Streams the manifest from its beginning; called twice.
 * @throws VideoError `InvalidRequest` with every fault by line, before anything is staged; also when no line is valid.
 */
export async function prepareManifest(
  open: () => Promise<AsyncIterable<Uint8Array>>,
  { name, images, allowInvalid, signal, refusal = (lines) => invalidManifest(name, lines) }: PrepareOptions,
): Promise<PreparedManifest> {
  const faults = new Map<number, ManifestFault>();
  const localImages = images.check !== undefined;
  const refuse = (): void => {
    if (faults.size > 0 && !allowInvalid) throw refusal(inOrder(faults));
  };
  const check = shared(images.check ?? (async () => []));
  const stage = shared(images.stage);

  let valid = 0;
  const checked = mapParallel(readManifest(await open(), { localImages }), IMAGES_AT_ONCE, (entry) =>
    withImage(entry, check),
  );
  for await (const entry of checked) {
    signal?.throwIfAborted();
    if (entry.kind === 'fault') faults.set(entry.fault.line, entry.fault);
    else valid += 1;
  }
  refuse();
  if (valid === 0) throw refusal(inOrder(faults));

  const folder = await mkdtemp(join(tmpdir(), 'wan-video-manifest-'));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    const file = join(folder, 'manifest.jsonl');
    const spool = await SpoolFile.create(file);
    const equal = new EqualLines();
    let items = 0;
    let duplicates = 0;
    try {
      const staged = mapParallel(readManifest(await open(), { localImages }), IMAGES_AT_ONCE, (entry) =>
        withReference(entry, faults, stage),
      );
      for await (const entry of staged) {
        signal?.throwIfAborted();
        if (entry === undefined) continue;
        if (entry.kind === 'fault') faults.set(entry.fault.line, entry.fault);
        else {
          const line = lineOf(entry.item, entry.reference, equal);
          if ('fault' in line) faults.set(line.fault.line, line.fault);
          else {
            await spool.append(line.bytes);
            items += 1;
            if (line.isDuplicate) duplicates += 1;
          }
        }
      }
    } finally {
      await spool.close();
    }
    refuse();
    if (items === 0) throw refusal(inOrder(faults));
    const { bytes, sha256 } = spool.result();
    return {
      items,
      duplicates,
      bytes,
      sha256,
      dispose,
      faults: inOrder(faults),
      lines: () => linesOf(file),
      put: (store, key) =>
        store.put(key, createReadStream(file), {
          ifAbsent: true,
          bytes,
          sha256,
          contentType: 'application/x-ndjson',
          signal,
        }),
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function* linesOf(file: string): AsyncGenerator<StoredItem> {
  for await (const { bytes } of readLines(createReadStream(file), STORED_LINE_BYTES_MAX)) {
    if (bytes !== null) yield readStoredLine(bytes); // none is longer: they were written here
  }
}

const inOrder = (faults: ReadonlyMap<number, ManifestFault>): ManifestFault[] =>
  [...faults.values()].sort((a, b) => a.line - b.line);

/** Many lines may name one image, which is read once. */
function shared<R>(step: (image: string) => Promise<R>): (image: string) => Promise<R> {
  const known = new Map<string, Promise<R>>();
  return (image) => {
    // A data: URI is its own content; remembering it would keep all of them.
    if (image.startsWith('data:')) return step(image);
    const result = known.get(image) ?? step(image);
    known.set(image, result);
    return result;
  };
}

async function withImage(
  entry: ManifestEntry,
  check: (path: string) => Promise<readonly Issue[]>,
): Promise<ManifestEntry> {
  if (entry.kind === 'fault' || entry.item.local === undefined) return entry;
  const issues = await check(entry.item.local);
  return issues.length === 0 ? entry : { kind: 'fault', fault: faultOf(entry.item, issues) };
}

type Staged =
  | { readonly kind: 'item'; readonly item: ManifestItem; readonly reference: unknown }
  | { readonly kind: 'fault'; readonly fault: ManifestFault };

async function withReference(
  entry: ManifestEntry,
  faults: ReadonlyMap<number, ManifestFault>,
  stage: (image: string) => Promise<string>,
): Promise<Staged | undefined> {
  if (entry.kind === 'fault') return entry;
  const { item } = entry;
  if (faults.has(item.line)) return undefined;
  const given = item.fields['reference_image'];
  const image = item.local ?? (typeof given === 'string' && given.startsWith('data:') ? given : undefined);
  if (image === undefined) return { kind: 'item', item, reference: given };
  try {
    return { kind: 'item', item, reference: await stage(image) };
  } catch (error) {
    return { kind: 'fault', fault: faultOf(item, issuesOf(error)) };
  }
}

function lineOf(
  item: ManifestItem,
  reference: unknown,
  equal: EqualLines,
): { readonly bytes: Buffer; readonly isDuplicate: boolean } | { readonly fault: ManifestFault } {
  try {
    return storedLine(item, reference, equal);
  } catch (error) {
    return { fault: faultOf(item, issuesOf(error)) };
  }
}

/** What the line is at fault for; anything else is no fault of the manifest and is thrown on. */
function issuesOf(error: unknown): readonly Issue[] {
  const isLines: readonly string[] = [FailureType.InvalidRequest, FailureType.ReferenceRejected];
  if (error instanceof VideoError && isLines.includes(error.type) && error.issues !== undefined) return error.issues;
  throw error;
}

const faultOf = ({ line, itemId, fields }: ManifestItem, issues: readonly Issue[]): ManifestFault => ({
  line,
  itemId,
  issues,
  fields,
});

/** Longest line of the list of invalid lines: their fields are kept only when they are short. */
const FIELDS_BYTES_MAX = 64 * 1024;

/** Writes the lines that a batch leaves out, one JSON object each. */
export function invalidLines(faults: readonly ManifestFault[]): Buffer {
  const lines = faults.map(({ line, itemId, issues, fields }) => {
    const kept = fields !== null && JSON.stringify(fields).length <= FIELDS_BYTES_MAX ? fields : null;
    return `${JSON.stringify({ line, item_id: itemId, issues, fields: kept })}\n`;
  });
  return Buffer.from(lines.join(''));
}

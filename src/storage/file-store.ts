import { randomUUID } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { constants, type FileHandle, link, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname, extname, join, relative, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { mapParallel } from '../async/map-parallel.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import type {
  AssetInfo,
  AssetStore,
  ByteStream,
  GetOptions,
  ListOptions,
  PutOptions,
  PutOutcome,
  StoreOptions,
} from './asset-store.js';
import { forwardStream, VerifyingStream } from './body.js';
import { STORE_ID_KEY } from './keys.js';
import { isKeySegment, keySegments } from './store-key.js';

/** Files of a folder that are looked at together while it is listed: Node.js has four threads for that. */
const STATS_AT_ONCE = 16;
/** Holds bodies while they are written. A key cannot begin with a dot, so nothing in it is ever listed. */
const PARTIAL_DIR = '.partial';
/** Far beyond any put (archiving ends within the result's 24 hours): only files of a dead process are that old. */
const PARTIAL_AGE_MAX_MS = 48 * 3_600_000;

const NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
/** The same with each write on the disk when it returns, for a body that is one write; Windows has no such flag. */
const NEW_AND_SYNCED = NEW | (constants.O_DSYNC ?? 0);

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.bmp': 'image/bmp',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.json': 'application/json',
  '.jsonl': 'application/x-ndjson',
  '.mp4': 'video/mp4',
  '.png': 'image/png',
  '.webp': 'image/webp',
};

/** What a person does about each errno. Anything else is an I/O fault. */
const NEXT_STEPS: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: free some space; the step is tried again.',
  EDQUOT: 'The disk quota is used up: free some space; the step is tried again.',
  EACCES: 'Give this process permission to read and write the directory of the store.',
  EPERM: 'Give this process permission to read and write the directory of the store.',
  EROFS: 'The directory is on a read-only file system: mount it writable or set ASSET_STORE to another one.',
  EMFILE: 'Too many files are open: raise the limit of open files (ulimit -n).',
  EXDEV: 'All folders of the store must be on one file system; mount the store as a whole.',
  ENAMETOOLONG: 'Use a directory with a shorter path.',
};

/**
 * Stores assets as plain files below one directory.
 *
 * A body is written outside of the visible tree, synced, and moved to its name whole: by `link` when the name must be
 * free, else by `rename`. Files carry no metadata, so `head` derives the content type from the key's extension and
 * returns no checksum.
 */
export class FileStore implements AssetStore {
  readonly name: string;
  readonly #root: string;
  #cleaned: Promise<void> | undefined;
  /** Set once the store's id was read: a directory without it is then another one, such as an empty mount point. */
  #hasId = false;

  /** @param directory - Root of the store; the first put creates it. */
  constructor(directory: string) {
    this.#root = resolve(directory);
    this.name = this.#root;
  }

  async head(key: string, { signal }: StoreOptions = {}): Promise<AssetInfo | undefined> {
    const path = this.#pathOf(key);
    signal?.throwIfAborted();
    try {
      const info = await this.#infoOf(key, path);
      if (info === undefined) await this.#requireId();
      return info;
    } catch (cause) {
      throw this.#error('read', key, cause);
    }
  }

  async get(key: string, { signal, from = 0, to }: GetOptions = {}): Promise<Readable> {
    const path = this.#pathOf(key);
    signal?.throwIfAborted();
    try {
      const file = await open(path, 'r');
      try {
        const stats = await file.stat();
        if (!stats.isFile()) throw Object.assign(new Error('not a file'), { code: 'ENOENT' });
        if (key === STORE_ID_KEY) this.#hasId = true;
        // With its end known, a small object takes a buffer of its size instead of 64 KiB, and one read instead of two.
        const end = Math.min(to ?? Number.POSITIVE_INFINITY, stats.size - 1);
        const source = file.createReadStream({ start: from, ...(end >= from && { end }) });
        return forwardStream(source, (cause) => this.#error('read', key, cause), signal);
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (cause) {
      if (!isAbsent(cause)) throw this.#error('read', key, cause);
      await this.#requireId();
      throw new VideoError(FailureType.AssetNotFound, `${key} is not in the asset store ${this.name}`, { cause });
    }
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<PutOutcome> {
    const { signal, ifAbsent = false } = options;
    const target = this.#pathOf(key);
    const verifying = new VerifyingStream(key, body, options);
    const partial = join(this.#root, PARTIAL_DIR, randomUUID());
    let isMoved = false;
    try {
      signal?.throwIfAborted();
      this.#cleaned ??= this.#removeStalePartials();
      await this.#cleaned;
      const flags = body instanceof Uint8Array ? NEW_AND_SYNCED : NEW;
      const file = await this.#within(partial, () => open(partial, flags));
      await writeWhole(file, verifying, { isSynced: flags !== NEW });
      signal?.throwIfAborted();
      const move = () => (ifAbsent ? this.#linkIfAbsent(partial, target) : rename(partial, target).then(() => true));
      const stored = await this.#within(target, move);
      isMoved = true;
      await Promise.all([syncFolder(dirname(target)), ifAbsent && discard(partial)]);
      return { stored };
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      if (verifying.fault !== undefined) throw verifying.fault.error;
      throw this.#error('write', key, cause);
    } finally {
      if (body instanceof Readable) body.destroy(); // also one that was never read
      if (!isMoved) await discard(partial);
    }
  }

  async *list(prefix: string, { signal, after }: ListOptions = {}): AsyncGenerator<AssetInfo> {
    const folders = prefix.split('/').slice(0, -1);
    if (folders.length > 0) keySegments(folders.join('/'));
    yield* this.#walk(join(this.#root, ...folders), { prefix, after, signal });
  }

  async delete(key: string, { signal }: StoreOptions = {}): Promise<void> {
    const path = this.#pathOf(key);
    signal?.throwIfAborted();
    try {
      await rm(path);
      await syncFolder(dirname(path));
    } catch (cause) {
      if (!isAbsent(cause)) throw this.#error('delete', key, cause);
    }
  }

  url(key: string): string {
    return pathToFileURL(this.#pathOf(key)).href;
  }

  #pathOf(key: string): string {
    return join(this.#root, ...keySegments(key));
  }

  async #infoOf(key: string, path: string): Promise<AssetInfo | undefined> {
    const stats = await stat(path).catch((error: unknown) => {
      if (isAbsent(error)) return undefined;
      throw error;
    });
    if (stats === undefined || !stats.isFile()) return undefined;
    const contentType = CONTENT_TYPES[extname(key)] ?? 'application/octet-stream';
    return { key, bytes: stats.size, contentType, modifiedAtMs: Math.round(stats.mtimeMs) };
  }

  async *#walk(folder: string, options: WalkOptions): AsyncGenerator<AssetInfo> {
    const { prefix, after = '', signal } = options;
    signal?.throwIfAborted();
    const keyOf = (name: string) => relative(this.#root, join(folder, name)).split(sep).join('/');
    let entries: Dirent[];
    try {
      entries = await readdir(folder, { withFileTypes: true });
    } catch (cause) {
      if (!isAbsent(cause)) throw this.#error('list', prefix, cause);
      await this.#requireId();
      return;
    }
    // A folder sorts as its keys do, with the slash: "a.json" comes before "a/b.json".
    const found = entries
      .filter((entry) => isKeySegment(entry.name) && (entry.isFile() || entry.isDirectory()))
      .map((entry) => ({ name: entry.name, key: keyOf(entry.name) + (entry.isDirectory() ? '/' : '') }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    // Everything in a folder is before `after` when its name is, unless `after` is in it.
    const wanted = found.filter(({ key }) =>
      key.endsWith('/')
        ? (key.startsWith(prefix) || prefix.startsWith(key)) && (key > after || after.startsWith(key))
        : key.startsWith(prefix) && key > after,
    );
    const infos = mapParallel(wanted, STATS_AT_ONCE, async ({ name, key }) => {
      signal?.throwIfAborted();
      if (key.endsWith('/')) return name;
      return this.#infoOf(key, join(folder, name)).catch((cause: unknown) => {
        throw this.#error('list', key, cause);
      });
    });
    for await (const found of infos) {
      if (typeof found === 'string') yield* this.#walk(join(folder, found), options);
      else if (found !== undefined) yield found;
    }
  }

  /**
   * Refuses a directory that is not the store any more (not mounted, moved): what is absent there must not count as
   * never bought.
   * @throws VideoError `StoreUnavailable`, retryable, when the store had an id and has none now.
   */
  async #requireId(): Promise<void> {
    if (!this.#hasId) return;
    const stats = await stat(this.#pathOf(STORE_ID_KEY)).catch(() => undefined);
    if (stats !== undefined) return;
    throw new VideoError(
      FailureType.StoreUnavailable,
      `The asset store ${this.name} is not there: its directory does not hold the store's id`,
      {
        retryable: true,
        nextStep: 'Mount or restore the directory of the store; the step is tried again.',
      },
    );
  }

  /** Removes the partial files of processes that died. The first put calls it, and is not affected by its failure. */
  async #removeStalePartials(): Promise<void> {
    const folder = join(this.#root, PARTIAL_DIR);
    for (const name of await readdir(folder).catch(() => [])) {
      const path = join(folder, name);
      const stats = await stat(path).catch(() => undefined);
      if (stats === undefined || Date.now() - stats.mtimeMs <= PARTIAL_AGE_MAX_MS) continue;
      await rm(path, { force: true }).catch(() => undefined);
    }
  }

  /**
   * Runs a step on a path, again if its folder had to be created: it usually exists, and may vanish at any time. Only
   * where a folder is missing may the directory be another one, because the folders of the store are in the store.
   */
  async #within<T>(path: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      await this.#requireId();
      await this.#makeFolder(dirname(path));
      return step();
    }
  }

  /** Creates a folder so that it survives a power cut: the parent of each new folder is synced. */
  async #makeFolder(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true });
    if (first === undefined) return;
    const parents: string[] = [];
    for (let made = folder; made.length >= first.length; made = dirname(made)) parents.push(dirname(made));
    await Promise.all(parents.map(syncFolder));
  }

  async #linkIfAbsent(partial: string, target: string): Promise<boolean> {
    try {
      await link(partial, target);
      return true;
    } catch (cause) {
      if (isErrno(cause, 'EEXIST')) {
        // A network file system may lose its own reply and then find the link that it has just made.
        const [mine, there] = await Promise.all([stat(partial), stat(target)]);
        return mine.ino === there.ino && mine.dev === there.dev;
      }
      if (!isErrno(cause, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw cause;
      throw new VideoError(
        FailureType.ConfigurationInvalid,
        `The file system of the asset store ${this.name} has no hard links, which a conditional put needs`,
        { cause, nextStep: 'Set ASSET_STORE to a directory on another file system, or to an S3 bucket.' },
      );
    }
  }

  #error(verb: 'read' | 'write' | 'list' | 'delete', key: string, cause: unknown): Error {
    if (cause instanceof VideoError) return cause;
    const code = errnoOf(cause);
    const reason = code === undefined ? '' : ` (${code})`;
    return new VideoError(FailureType.StoreUnavailable, `The asset store ${this.name} cannot ${verb} ${key}${reason}`, {
      retryable: true,
      cause,
      nextStep: NEXT_STEPS[code ?? ''] ?? 'Check the disk and the directory of the store; the step is tried again.',
    });
  }
}

/** What of a folder is listed. */
interface WalkOptions extends ListOptions {
  readonly prefix: string;
}

/**
 * Writes, syncs and closes a new file: without the sync a power cut could leave the name without its bytes.
 * @param options.isSynced - Each write is a sync already.
 */
async function writeWhole(
  file: FileHandle,
  body: AsyncIterable<Uint8Array>,
  { isSynced }: { readonly isSynced: boolean },
): Promise<void> {
  try {
    for await (const chunk of body) await file.writeFile(chunk);
    if (!isSynced) await file.sync();
  } finally {
    await file.close();
  }
}

/** A partial file that cannot be removed now is removed by age; it must not hide how the put ended. */
const discard = (partial: string): Promise<void> => unlink(partial).catch(() => undefined);

async function syncFolder(folder: string): Promise<void> {
  // Windows can neither open nor sync a directory; its file system journals names by itself.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(errnoOf(error) ?? '');
}

/** Whether there is nothing at the path, or a file where one of its folders would be. */
function isAbsent(error: unknown): boolean {
  return isErrno(error, 'ENOENT', 'ENOTDIR');
}

import { createHash } from 'node:crypto';
import { DIRECTIONS } from './clip/picture-clip.js';
import { PictureClipRenderer } from './clip/picture-renderer.js';
import { makeClip } from './clip/plain-clip.js';
import { type Clock, DAY, formatTime } from './clock.js';
import type { PictureStore } from './picture-store.js';
import { ACCESS_KEY_ID, type Signer } from './signer.js';
import type { EmulatorTask } from './task.js';
import { type ByteSource, type HttpResponse, StoreError } from './wire.js';

/**
 * Clips kept in memory: more than an account renders at once, and 300 MB at most (15 s at 1080P are 37 MB). A clip that
 * is made again has the same bytes.
 */
const CACHED_CLIPS = 8;

/** Zeros are sent in pieces of this size, so that a padded result needs no memory. */
const PIECE_BYTES = 64 * 1024;

/** A download, as far as the store reads it. */
interface DownloadRequest {
  readonly path: string;
  readonly expires: string;
  readonly signature: string;
  readonly range: string | undefined;
  readonly ifMatch: string | undefined;
  /** Fault `patch`, which changes the bytes. */
  readonly patch: Patch | undefined;
}

/** A change of a result's bytes. */
interface Patch {
  readonly find?: string;
  readonly with?: string;
  readonly append_bytes?: number;
  readonly keep_bytes?: number;
}

/** The results of tasks: their clips, signed addresses and downloads. */
export class ResultStore {
  /** Clips by what they show, in the order of their last use. */
  readonly #clips = new Map<string, Promise<Uint8Array | undefined>>();
  /** Pictures that are being downloaded, by task. */
  readonly #pendingPictures = new Map<string, Promise<void>>();
  readonly #renderer = new PictureClipRenderer();
  readonly #now: Clock;
  readonly #signer: Signer;
  readonly #pictures: PictureStore;

  constructor(now: Clock, signer: Signer, pictures: PictureStore) {
    this.#now = now;
    this.#signer = signer;
    this.#pictures = pictures;
  }

  /** Makes the result of a task wait for its picture. */
  waitForPicture(task: EmulatorTask, picture: Promise<void>): void {
    const done = picture.finally(() => this.#pendingPictures.delete(task.task_id));
    this.#pendingPictures.set(task.task_id, done);
  }

  /** Starts to render a clip of a picture, so that it is ready when the task ends. */
  prerender(task: EmulatorTask): void {
    if (task.picture !== null) this.#clipOf(task).catch(() => undefined); // A download reports the error.
  }

  close(): Promise<void> {
    return this.#renderer.close();
  }

  clear(): void {
    this.#clips.clear();
  }

  /** Returns path and query of the signed address; `Expires` is 24 h after the task's end, in epoch seconds. */
  signedPath(task: EmulatorTask): string {
    const name = createHash('sha256').update(task.task_id).digest('hex');
    const end = task.end_ms ?? 0;
    const day = formatTime(end).slice(0, 10).replaceAll('-', '');
    const path = `/results/${name.slice(0, 2)}/${name.slice(2, 4)}/${day}/${name.slice(4, 12)}/${task.task_id}.mp4`;
    const expires = Math.floor((end + DAY) / 1000);
    const signature = encodeURIComponent(this.#signer.sign(`GET\n${expires}\n${path}`));
    return `${path}?Expires=${expires}&OSSAccessKeyId=${ACCESS_KEY_ID}&Signature=${signature}`;
  }

  /**
   * Answers a GET or HEAD of a signed address, with `Range` and `If-Match`.
   * @throws StoreError 403 for an invalid signature or an expired address, 404 without a result, 412, 416.
   */
  async download(request: DownloadRequest, task: EmulatorTask | undefined): Promise<HttpResponse> {
    const { path, expires, signature, range, ifMatch, patch } = request;
    if (!this.#signer.isValid(`GET\n${expires}\n${path}`, signature)) {
      throw new StoreError(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.');
    }
    if (Number(expires) * 1000 < this.#now()) throw expiredError();
    if (task?.status !== 'SUCCEEDED') throw new StoreError(404, 'NoSuchKey', 'The specified key does not exist.');
    await this.#pendingPictures.get(task.task_id);
    const clip = patched(await this.#clipOf(task), patch);
    const body = padded(clip, task.min_bytes);
    const { size } = body;
    const digest = createHash('md5').update(clip).digest('hex').toUpperCase();
    // The store adds a suffix to the tag of a multipart object, because it is not the digest of the whole.
    const etag = size === clip.length ? `"${digest}"` : `"${digest}-2"`;
    if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== etag) {
      throw new StoreError(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold.');
    }
    const headers = {
      'content-type': 'video/mp4',
      'accept-ranges': 'bytes',
      etag,
      'last-modified': new Date(task.end_ms ?? 0).toUTCString(),
    };
    const [, start = '', end = ''] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? [];
    if (start === '' && end === '') return { status: 200, body, headers };
    const first = start === '' ? Math.max(0, size - Number(end)) : Number(start);
    const last = start === '' || end === '' ? size - 1 : Math.min(Number(end), size - 1);
    if (first > last) {
      const reason = 'The requested range cannot be satisfied.';
      throw new StoreError(416, 'InvalidRange', reason, { 'content-range': `bytes */${size}` });
    }
    return {
      status: 206,
      body: { size: last + 1 - first, read: (from, to) => body.read(first + from, first + to) },
      headers: { ...headers, 'content-range': `bytes ${first}-${last}/${size}` },
    };
  }

  /** Returns the clip of the task's picture, or the plain clip when there is none that can be shown. */
  async #clipOf(task: EmulatorTask): Promise<Uint8Array> {
    const { width, height, duration: durationSeconds, audio, seed, picture: name, task_id: label } = task;
    const format = { width, height, durationSeconds, audio };
    if (name !== null) {
      // Tasks that show the same picture in the same way share one clip. A plain clip shows its task's id.
      const options = { ...format, direction: seed % DIRECTIONS };
      const clip = await this.#cached(JSON.stringify([name, options]), async () => {
        const picture = this.#pictures.get(name);
        return picture && this.#renderer.render({ picture, options });
      });
      if (clip !== undefined) return clip;
    }
    return (await this.#cached(label, () => makeClip({ ...format, seed, label }))) ?? new Uint8Array();
  }

  #cached(key: string, make: () => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const clip = this.#clips.get(key) ?? make();
    this.#clips.delete(key); // Setting it again moves it to the end; the first is the least recently used.
    this.#clips.set(key, clip);
    const [oldest = key] = this.#clips.keys();
    if (this.#clips.size > CACHED_CLIPS) this.#clips.delete(oldest);
    return clip;
  }
}

/** Returns the object store's error for an address older than 24 h. */
export function expiredError(): StoreError {
  return new StoreError(403, 'AccessDenied', 'Request has expired.');
}

/** Returns the clip with a text replaced wherever it occurs, cut off, and with zeros after its end. */
function patched(clip: Uint8Array, patch: Patch | undefined): Uint8Array {
  if (patch === undefined) return clip;
  const { find = '', with: text = '', append_bytes = 0, keep_bytes = clip.length } = patch;
  const copy = Buffer.concat([clip.subarray(0, keep_bytes), Buffer.alloc(append_bytes)]);
  if (find === '') return copy;
  for (let at = copy.indexOf(find, 0, 'latin1'); at >= 0; at = copy.indexOf(find, at + 1, 'latin1')) {
    copy.write(text, at, 'latin1');
  }
  return copy;
}

/** Returns the clip followed by an empty `free` box, which every MP4 reader skips. */
function padded(clip: Uint8Array, minBytes: number): ByteSource {
  const missing = minBytes - clip.length;
  if (missing <= 0) return { size: clip.length, read: (from, to) => [clip.subarray(from, to)] };
  const header = Buffer.alloc(8);
  const boxBytes = Math.max(missing, header.length);
  header.writeUInt32BE(boxBytes);
  header.write('free', 4, 'latin1');
  const start = Buffer.concat([clip, header]);
  const zeros = Buffer.alloc(PIECE_BYTES);
  return {
    size: clip.length + boxBytes,
    *read(from, to) {
      if (from < start.length) yield start.subarray(from, to);
      for (let at = Math.max(from, start.length); at < to; at += PIECE_BYTES) yield zeros.subarray(0, to - at);
    },
  };
}

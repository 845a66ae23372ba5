import { createHash } from 'node:crypto';
import { DIRECTIONS } from './clip/picture-clip.js';
import { PictureThread } from './clip/picture-thread.js';
import { makeClip } from './clip/plain-clip.js';
import { type Clock, DAY, formatTime } from './clock.js';
import type { PictureStore } from './picture-store.js';
import { ACCESS_KEY_ID, type Signer } from './signature.js';
import type { EmulatorTask } from './task.js';
import { type Answer, type ByteSource, StoreError } from './wire.js';

/**
 * Clips kept in memory: more than an account renders at once, and 300 MB at most (15 s at 1080P are 37 MB). Making a clip
 * again gives the same bytes.
 */
const CLIPS_KEPT = 8;

/** Zeros are sent in pieces of this many bytes, so that a padded result needs no memory. */
const PIECE = 64 * 1024;

/** The result's file, its signed address and its download. */
export class ResultStore {
  readonly #clips = new Map<string, Promise<Uint8Array | undefined>>();
  readonly #now: Clock;
  readonly #signer: Signer;
  readonly #pictures: PictureStore;
  readonly #thread = new PictureThread();
  /** Pictures on their way, by task. */
  readonly #arriving = new Map<string, Promise<void>>();

  constructor(now: Clock, signer: Signer, pictures: PictureStore) {
    this.#now = now;
    this.#signer = signer;
    this.#pictures = pictures;
  }

  /** Lets the result of a task wait for its picture. */
  expect(task: EmulatorTask, picture: Promise<void>): void {
    this.#arriving.set(
      task.task_id,
      picture.finally(() => this.#arriving.delete(task.task_id)),
    );
  }

  /** Begins to make the clip of a picture, so that it is there when the task is done. */
  prepare(task: EmulatorTask): void {
    if (task.picture !== null) this.#clip(task).catch(() => undefined); // whoever downloads meets the error
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  clear(): void {
    this.#clips.clear();
  }

  /** Path and query of the signed address; `Expires` is 24 h after the end, in epoch seconds. */
  address(task: EmulatorTask): string {
    const name = createHash('sha256').update(task.task_id).digest('hex');
    const end = task.end_ms ?? 0;
    const day = formatTime(end).slice(0, 10).replaceAll('-', '');
    const path = `/results/${name.slice(0, 2)}/${name.slice(2, 4)}/${day}/${name.slice(4, 12)}/${task.task_id}.mp4`;
    const expires = Math.floor((end + DAY) / 1000);
    const signature = encodeURIComponent(this.#signer.sign(`GET\n${expires}\n${path}`));
    return `${path}?Expires=${expires}&OSSAccessKeyId=${ACCESS_KEY_ID}&Signature=${signature}`;
  }

  /**
   * Answers a GET or HEAD of an address, with `Range` and `If-Match`.
   * @throws StoreError 403 for a forged or expired address, 404 without a result, 412, 416.
   */
  async download(request: DownloadRequest, task: EmulatorTask | undefined): Promise<Answer> {
    const { path, expires, signature, range, ifMatch } = request;
    if (!this.#signer.verified(`GET\n${expires}\n${path}`, signature)) {
      throw new StoreError(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match.');
    }
    if (Number(expires) * 1000 < this.#now()) throw expired();
    if (task?.status !== 'SUCCEEDED') throw new StoreError(404, 'NoSuchKey', 'The specified key does not exist.');
    await this.#arriving.get(task.task_id);
    const clip = await this.#clip(task);
    const body = padded(clip, task.min_bytes);
    const { size } = body;
    const digest = createHash('md5').update(clip).digest('hex').toUpperCase();
    // The store marks an object made of parts by a suffix: its tag is not the digest of the whole.
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
    const bounds = /^bytes=(\d*)-(\d*)$/.exec(range ?? '');
    if (bounds === null || (bounds[1] === '' && bounds[2] === '')) return { status: 200, body, headers };
    const first = bounds[1] === '' ? Math.max(0, size - Number(bounds[2])) : Number(bounds[1]);
    const last = bounds[1] === '' || bounds[2] === '' ? size - 1 : Math.min(Number(bounds[2]), size - 1);
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

  /** The picture in motion, or the plain clip when there is none, or it is gone, damaged or too large. */
  async #clip(task: EmulatorTask): Promise<Uint8Array> {
    const { width, height, duration: durationSeconds, audio, seed, picture: name, task_id: label } = task;
    const look = { width, height, durationSeconds, audio };
    if (name !== null) {
      // Tasks that show the same picture in the same way share one clip; a plain one shows its task's id.
      const options = { ...look, direction: seed % DIRECTIONS };
      const shown = await this.#kept(JSON.stringify([name, options]), async () => {
        const picture = this.#pictures.get(name);
        return picture && this.#thread.render({ picture, options });
      });
      if (shown !== undefined) return shown;
    }
    return (await this.#kept(label, () => makeClip({ ...look, seed, label }))) ?? new Uint8Array();
  }

  #kept(name: string, make: () => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const clip = this.#clips.get(name) ?? make();
    this.#clips.delete(name); // and to the end: the first one is the longest unused
    this.#clips.set(name, clip);
    const oldest = this.#clips.keys().next().value;
    if (this.#clips.size > CLIPS_KEPT && oldest !== undefined) this.#clips.delete(oldest);
    return clip;
  }
}

/** What of a download request matters. */
export interface DownloadRequest {
  path: string;
  expires: string;
  signature: string;
  range: string | undefined;
  ifMatch: string | undefined;
}

/** What the object store says after 24 h. */
export function expired(): StoreError {
  return new StoreError(403, 'AccessDenied', 'Request has expired.');
}

/** The clip followed by an empty `free` box, which every reader of MP4 skips. */
function padded(clip: Uint8Array, minBytes: number): ByteSource {
  const missing = minBytes - clip.length;
  if (missing <= 0) return { size: clip.length, read: (from, to) => [clip.subarray(from, to)] };
  const head = Buffer.alloc(8);
  const box = Math.max(missing, head.length);
  head.writeUInt32BE(box);
  head.write('free', 4, 'latin1');
  const start = Buffer.concat([clip, head]);
  const zeros = Buffer.alloc(PIECE);
  return {
    size: clip.length + box,
    *read(from, to) {
      if (from < start.length) yield start.subarray(from, to);
      for (let at = Math.max(from, start.length); at < to; at += PIECE) yield zeros.subarray(0, to - at);
    },
  };
}

// A ledger as the product itself writes it, with as many closed purchases of the last day as a bench wants.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FailureType } from '../dist/src/contract/failure-type.js';
import { VideoError } from '../dist/src/contract/video-error.js';
import { Ledger } from '../dist/src/ledger/ledger.js';

const HOUR_MS = 3_600_000;
/** Purchases are announced within these hours before now: all of them are listed. */
const HOURS = 24;

/** As random as the hash of a request, and the same for the same index. */
export const crowdKey = (index) => createHash('sha256').update(`crowd ${index}`).digest('hex');
/** The workflow that bought the purchase with this index. */
export const crowdWorkflow = (index) => `crowd/${index}`;
export const crowdTask = (index) => crowdKey(index).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');

/** The part of a store that the ledger's writers use, in memory. */
class Objects {
  name = 'memory';
  bodies = new Map();

  async put(key, body, { ifAbsent = false } = {}) {
    if (ifAbsent && this.bodies.has(key)) return { stored: false };
    this.bodies.set(key, body);
    return { stored: true };
  }

  async get(key) {
    const body = this.bodies.get(key);
    if (body === undefined) throw new VideoError(FailureType.AssetNotFound, `${key} is not there`);
    return [body];
  }

  async *list(prefix, { after = '' } = {}) {
    const keys = [...this.bodies.keys()].filter((key) => key.startsWith(prefix) && key > after);
    for (const key of keys.sort()) yield { key, bytes: this.bodies.get(key).length, modifiedAtMs: 0 };
  }
}

/**
 * Makes a ledger of `closed` archived purchases and `open` ones whose task renders, evenly spread over a day, whose
 * bills are repeated in statements as the hourly sweeps do it.
 * @returns bodies by key.
 */
export async function makeCrowd({ scope, closed, open, nowMs }) {
  const store = new Objects();
  let atMs = nowMs;
  const ledger = new Ledger({ store, scope, now: () => atMs });
  const buy = async (index, tenant) => {
    const purchase = { key: crowdKey(index), n: 1 };
    const taskId = crowdTask(index);
    const memo = {
      request: { prompt: 'A kitten runs over grass. '.repeat(10), duration: 5, fps: 30, size: '1280*720' },
      reference: { kind: 'asset', key: `references/${index % 100}.jpg` },
      warnings: [],
      labels: { scene: `${index % 50}` },
      batch_id: `batch-${index % 7}`,
    };
    await ledger.openIntent(purchase, {
      cache_key: purchase.key,
      workflow_id: crowdWorkflow(index),
      first_run_id: taskId,
      attempt: 1,
      tenant,
      seed: 1,
      key_fingerprint: 'f',
      expects: { resolution: '720P', audio: false, prompt: memo.request.prompt, duration: 5, image: null },
      memo,
    });
    const task = { purchase, taskId, requestId: 'r', keyFingerprint: 'f' };
    await ledger.ensureClaim(task);
    return task;
  };
  for (let index = 0; index < closed; index += 1) {
    atMs = nowMs - HOURS * HOUR_MS * (1 - index / closed);
    const task = await buy(index, `tenant-${index % 20}`);
    atMs = Math.min(nowMs, atMs + 60_000);
    await ledger.recordBill(task, { endTimeMs: atMs, billedSeconds: 5, resolution: '720P', audio: false });
    const key = `videos/${task.taskId}.mp4`;
    const body = Buffer.from('video');
    await store.put(key, body);
    await ledger.finish(task, { how: 'archived', result: resultOf(task, key, body), cacheKey: task.purchase.key });
  }
  for (let index = 0; index < open; index += 1) {
    atMs = nowMs - (HOURS - 1) * HOUR_MS * (1 - index / open);
    await buy(closed + index, `tenant-${index % 20}`);
  }
  atMs = nowMs;
  // A sweep of each hour repeats what is new.
  for (let left = closed; left > 0; left -= 10_000) await ledger.writeStatements();
  return store.bodies;
}

function resultOf({ taskId }, key, body) {
  return {
    video_url: `s3://videos/${key}`,
    duration: 5,
    fps: 30,
    seed: 1,
    width: 1280,
    height: 720,
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
    has_audio: false,
    task_id: taskId,
    request_id: 'r',
    source: 'generated',
    requested: { duration: 5, fps: 30, size: '1280*720' },
    usage: { billed_seconds: 5, resolution: '720P', audio: false },
    timings: { queued: 0, rendering: 60, detected: 1, archived: 1 },
    warnings: [],
  };
}

/** Puts objects straight into the folder of an S3 server's bucket: half a million puts would take it an hour. */
export function writeObjects(folder, bodies) {
  const made = new Set();
  for (const [key, body] of bodies) {
    const path = join(folder, key);
    const parent = dirname(path);
    if (!made.has(parent)) mkdirSync(parent, { recursive: true });
    made.add(parent);
    writeFileSync(path, body);
  }
}

import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureType } from '../src/contract/failure-type.js';
import { VideoError } from '../src/contract/video-error.js';
import { findDocument } from '../src/media/mp4.js';
import { downloadToFile } from '../src/net/download.js';
import { openResult } from '../src/net/open-result.js';
import { type Spooled, spoolToFile } from '../src/net/spool.js';
import type { AssetStore } from '../src/storage/asset-store.js';
import { candidateKey, videoKey } from '../src/storage/keys.js';
import type { ResultDeps } from './deps.js';

/** 15 s at 1080P are some 30 MB; anything above this is no result. */
const RESULT_BYTES_MAX = 1024 * 1024 * 1024;

/** Where the bytes of a result come from: the provider itself, or a copy in the store. */
type ResultSource = 'download' | 'copy';

/** Links to try: one lives 24 hours from the task's end, so two that have expired are no accident of timing. */
const LINKS_MAX = 2;

/** Key of a task's video in the store: archived, or kept as a candidate while nobody knew whose task it was. */
export async function findStoredCopy(
  store: AssetStore,
  taskId: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  for (const key of [videoKey(taskId), candidateKey(taskId)]) {
    if ((await store.head(key, { signal })) !== undefined) return key;
  }
  return undefined;
}

/**
 * Downloads a task's result to a file that exists as long as `use` runs: from the provider, or from a copy in the store
 * when the provider has deleted it. Constant memory. An expired link is requested again, once; after that the step is
 * retried.
 */
export async function withResult<T>(
  deps: ResultDeps,
  taskId: string,
  signal: AbortSignal | undefined,
  use: (file: string, spooled: Spooled, source: ResultSource) => Promise<T>,
): Promise<T> {
  const { dashscope, links: seenLinks, store } = deps;
  const seenLink = seenLinks?.take(taskId);
  if (seenLink !== undefined) {
    try {
      return await withDownload(deps, seenLink, signal, (file, spooled) => use(file, spooled, 'download'));
    } catch (error) {
      // It may have lain for long: the query below shows the present one.
      if (!(error instanceof VideoError) || error.type !== FailureType.ResultExpired) throw error;
    }
  }
  for (let links = 1; ; links += 1) {
    const seen = await dashscope.queryTask(taskId, { signal }).catch((error: unknown) => {
      // The task is paid: a refused key or account ends nothing, as in `pollTask`; the step is retried until it is
      // fixed.
      throw error instanceof VideoError ? error.with({ retryable: true, billed: undefined }) : error;
    });
    if (seen.videoUrl === undefined) {
      if (seen.status === 'UNKNOWN') break;
      throw noLinkYet(taskId, seen.status);
    }
    try {
      return await withDownload(deps, seen.videoUrl, signal, (file, spooled) => use(file, spooled, 'download'));
    } catch (error) {
      const hasExpired = error instanceof VideoError && error.type === FailureType.ResultExpired;
      if (!hasExpired) throw error;
      // The task still has a result, so this is a fault of the provider's store, or of what is before it; it may pass.
      if (links === LINKS_MAX) throw linkRefused(taskId, error);
    }
  }
  const copy = await findStoredCopy(store, taskId, signal);
  // One UNKNOWN proves nothing: the caller decides whether the task is gone.
  if (copy === undefined) throw resultExpired(taskId, 'has no result').with({ retryable: true });
  return withStored(deps, copy, signal, (file, spooled) => use(file, spooled, 'copy'));
}

/** Downloads an object of the store to a file that exists as long as `use` runs. */
export async function withStored<T>(
  deps: ResultDeps,
  key: string,
  signal: AbortSignal | undefined,
  use: (file: string, spooled: Spooled) => Promise<T>,
): Promise<T> {
  return withSpoolFile(deps, async (file) => {
    const copy = await deps.store.get(key, { signal });
    return use(file, await spoolToFile(copy, file, { signal, maxBytes: RESULT_BYTES_MAX }));
  });
}

/** Downloads a result link to a file that exists as long as `use` runs; resumes after a lost connection. */
async function withDownload<T>(
  deps: ResultDeps,
  videoUrl: string,
  signal: AbortSignal | undefined,
  use: (file: string, spooled: Spooled) => Promise<T>,
): Promise<T> {
  const { dashscope, providerBaseUrl: baseUrl, allowPrivateUrls: allow, times } = deps;
  const request = async (url: string, from: number) => {
    const { statusCode, headers, body } = await dashscope.download(url, { from, signal });
    return { status: statusCode, headers, body };
  };
  const open = (from: number) => openResult(videoUrl, { from, rules: { baseUrl, allow }, request });
  return withSpoolFile(deps, async (file) => {
    const limits = { maxBytes: RESULT_BYTES_MAX, slowMs: times.downloadIdleMs };
    const spooled = await downloadToFile({ open, file, ...limits, signal });
    const document = await findDocument(file);
    if (document !== undefined) throw documentFound(document);
    return use(file, spooled);
  });
}

/** Provides a name on this worker's disk for one file, and deletes the file afterwards. */
export async function withSpoolFile<T>(
  { spoolDir }: Pick<ResultDeps, 'spoolDir'>,
  use: (file: string) => Promise<T>,
): Promise<T> {
  await mkdir(spoolDir, { recursive: true });
  const file = join(spoolDir, `${randomUUID()}.mp4`);
  try {
    return await use(file);
  } finally {
    await rm(file, { force: true });
  }
}

/** A finished task whose link is not there, or cannot be read, or whose status went back: it is queried again. */
function noLinkYet(taskId: string, status: string): VideoError {
  return new VideoError(FailureType.ResultUnreachable, `Task ${taskId} is ${status} without a readable link`, {
    taskId,
    retryable: true,
    nextStep: 'Nothing is lost: the task is queried again while the provider keeps it, 24 hours.',
  });
}

/** The link leads to a message of a server, such as an error page with status 200: it says nothing about the video. */
function documentFound(document: string): VideoError {
  return new VideoError(FailureType.ResultUnreachable, `The link of the result leads to ${document}`, {
    retryable: true,
    nextStep:
      "Nothing is lost: the link is requested again. If this persists, look at the task in the provider's console.",
  });
}

/** The provider shows a result, and its store denies it. */
function linkRefused(taskId: string, { message }: VideoError): VideoError {
  return new VideoError(
    FailureType.ResultUnreachable,
    `Task ${taskId} has a result, and its link is of no use: ${message}`,
    {
      taskId,
      retryable: true,
      nextStep: 'Nothing is lost: a new link is requested while the provider knows the task.',
    },
  );
}

/** The provider has deleted the video, or never had it. */
export function resultExpired(taskId: string, fault: string): VideoError {
  return new VideoError(FailureType.ResultExpired, `Task ${taskId} ${fault} at the provider`, {
    taskId,
    billed: true,
    nextStep: "Results are kept 24 hours. Check the account in the provider's console; a new start buys again.",
  });
}

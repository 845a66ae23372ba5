import { setTimeout as pause } from 'node:timers/promises';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { type ByteSource, chunksOf, closeSource } from './chunks.js';
import { headerValue } from './headers.js';
import { Pace, SlowError } from './pace.js';
import { type Spooled, SpoolFile } from './spool.js';

/** An open answer to a download, whole (200) or from an offset on (206). */
export interface OpenedDownload {
  /** HTTP status. */
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: ByteSource;
}

/** How one download is made. */
export interface DownloadOptions {
  /**
   * Opens the result from byte `from` on, with a Range header when that is above zero. A `VideoError` it throws ends
   * the download unless it is retryable.
   */
  readonly open: (from: number) => Promise<OpenedDownload>;
  /** Where to put the bytes; the caller removes it. */
  readonly file: string;
  /** Most bytes that are taken. */
  readonly maxBytes: number;
  /** Longest wait for the next 16 KiB of the body, in milliseconds. */
  readonly slowMs: number;
  /** Ends the download with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** First wait before a resume, in milliseconds; doubled while there is no progress. Default 500. */
  readonly resumeDelayMs?: number | undefined;
}

/**
 * Resumes in a row without {@link PROGRESS_BYTES} more: with 0.5 s doubled each time some 8 s of a dead network. After
 * `slowMs` without that progress there is none: what comes so slowly is not to keep its reader's place.
 */
export const RESUMES_MAX = 4;
/** What counts as progress; a server that gives a byte per connection would otherwise be followed for ever. */
const PROGRESS_BYTES = 256 * 1024;

/**
 * Downloads a result into a file, in constant memory, and goes on where a cut connection left off. It starts over when
 * the server ignores the range, or when length or ETag show that there is another file now.
 * @returns length and SHA-256 of exactly the bytes in the file.
 * @throws {@link VideoError} `ResultRejected` above `maxBytes`; `ResultExpired` for HTTP 403, 404 and 410;
 * `ResultUnreachable` (retryable) for a link that is of no use now;
 * `ProviderUnavailable` (retryable) without progress; `StoreUnavailable` for the disk; what `open` throws for good.
 * @throws `signal.reason`, unchanged, on abort.
 */
export async function downloadToFile(options: DownloadOptions): Promise<Spooled> {
  const { file, maxBytes, slowMs, signal, resumeDelayMs = 500 } = options;
  const spool = await SpoolFile.create(file, { maxBytes });
  let known: Version | undefined;
  let progress = 0;
  let sinceMs = performance.now();
  let resumes = 0;
  try {
    for (;;) {
      let fault: unknown;
      try {
        signal?.throwIfAborted();
        const { version, body } = await openAt(spool, known, options);
        known = version;
        if ((known.total ?? 0) > maxBytes) {
          closeSource(body);
          throw tooLarge(known.total ?? 0, maxBytes);
        }
        for await (const chunk of chunksOf(body, { signal, pace: new Pace(slowMs) })) await spool.append(chunk);
        if (known.total === undefined || spool.bytes === known.total) return spool.result();
        fault = new Error(`of ${known.total} bytes ${spool.bytes} came`);
        if (spool.bytes > known.total) await spool.restart();
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (isLasting(error, spool.bytes)) throw error;
        fault = error;
      }
      resumes += 1;
      if (spool.bytes - progress >= PROGRESS_BYTES) {
        progress = spool.bytes;
        sinceMs = performance.now();
        resumes = 0;
      }
      if (resumes > RESUMES_MAX || performance.now() - sinceMs >= slowMs) throw stuck(fault, spool.bytes);
      // An abort ends the pause early; the next round begins by looking.
      await pause(resumeDelayMs * 2 ** Math.max(0, resumes - 1), undefined, { signal }).catch(() => {});
    }
  } finally {
    await spool.close();
  }
}

/** Whether another request in a moment would not help: the disk, a refusal for good, or one of the link itself. */
function isLasting(error: unknown, bytes: number): boolean {
  if (!(error instanceof VideoError)) return false;
  const { retryable, type } = error;
  return !retryable || type === FailureType.StoreUnavailable || (type === FailureType.ResultUnreachable && bytes === 0);
}

/** Opens the rest of the file, or the whole when what is there cannot be continued; `spool` is then empty. */
async function openAt(
  spool: SpoolFile,
  known: Version | undefined,
  { open }: DownloadOptions,
): Promise<{ readonly version: Version; readonly body: ByteSource }> {
  const answer = await open(spool.bytes);
  const version = versionOf(answer);
  if (version === undefined) {
    closeSource(answer.body);
    if (answer.status !== 416) throw badStatus(answer.status);
  }
  const same = spool.bytes === 0 || (version?.total === known?.total && version?.etag === known?.etag);
  if (version !== undefined && version.from === spool.bytes && same) return { version, body: answer.body };
  // A server without ranges sends the whole again; anything else is part of another file than the one begun.
  await spool.restart();
  if (version?.from === 0) return { version, body: answer.body };
  closeSource(answer.body);
  throw new Error('the file at the provider has changed');
}

/** Which file an answer is part of, and where in it the body begins. */
interface Version {
  readonly from: number;
  /** Length of the whole file in bytes, where the server says. */
  readonly total: number | undefined;
  readonly etag: string | undefined;
}

/** What the headers say; `undefined` for an answer without a usable body. */
function versionOf({ status, headers }: OpenedDownload): Version | undefined {
  const etag = headerValue(headers, 'etag');
  if (status === 200) return { from: 0, total: numberOf(headerValue(headers, 'content-length')), etag };
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headerValue(headers, 'content-range') ?? '');
  if (status !== 206 || range === null) return undefined;
  return { from: Number(range[1]), total: numberOf(range[2]), etag };
}

/** Statuses below 500 after which the same request may succeed in a moment. */
const BUSY_4XX: ReadonlySet<number> = new Set([408, 425, 429]);

function badStatus(status: number): VideoError {
  if (status === 403 || status === 404 || status === 410) {
    return new VideoError(FailureType.ResultExpired, `The result can no longer be downloaded (HTTP ${status})`, {
      billed: true,
      nextStep: 'Links live 24 hours; a new one is requested while the provider knows the task.',
    });
  }
  const isBusy = status >= 500 || BUSY_4XX.has(status);
  const type = isBusy ? FailureType.ProviderUnavailable : FailureType.ResultUnreachable;
  return new VideoError(type, `The download is answered with HTTP ${status}`, {
    retryable: true,
    billed: true,
    nextStep: 'Nothing is lost: the link is requested again.',
  });
}

const numberOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

function tooLarge(bytes: number, maxBytes: number): VideoError {
  return new VideoError(FailureType.ResultRejected, `The result has ${bytes} bytes; at most ${maxBytes} are taken`, {
    billed: true,
  });
}

function stuck(fault: unknown, bytes: number): VideoError {
  if (fault instanceof VideoError) return fault;
  const { code, message } = fault as NodeJS.ErrnoException;
  return new VideoError(
    FailureType.ProviderUnavailable,
    fault instanceof SlowError
      ? `The download is too slow: ${message}`
      : `The download does not get beyond ${bytes} bytes: ${code ?? message}`,
    { retryable: true, billed: true, nextStep: 'Wait; the step is retried. If it persists, check the network.' },
  );
}

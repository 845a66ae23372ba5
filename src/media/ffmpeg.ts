import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { cleanText } from '../contract/safe-text.js';

/** Bounds of one run. */
export interface FfmpegLimits {
  /** Seconds by the clock. */
  readonly seconds: number;
  /** Address space, which contains everything that native code takes. */
  readonly megabytes: number;
  /** Largest file that it may write. */
  readonly fileMegabytes: number;
}

/** How one run is watched. */
export interface FfmpegWatch {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of frames that are written so far. */
  readonly onFrame?: ((frame: number) => void) | undefined;
}

/** What became of one run. */
export type FfmpegOutcome =
  /** `log` is the end of what it wrote on stderr. */
  | { readonly kind: 'done'; readonly log: string }
  /** `reason` follows the word "ffmpeg"; `mayPass`: another try, or another machine, may do better. */
  | { readonly kind: 'failed'; readonly reason: string; readonly mayPass: boolean };

/** A clip of 15 s in 4K takes some 2 GB of address space and, on two cores, a few minutes. */
export const FFMPEG_LIMITS: FfmpegLimits = { seconds: 600, megabytes: 4_096, fileMegabytes: 1_024 };

const LOG_CHARACTERS = 20_000;
const REASON_CHARACTERS = 200;
/** Lowest priority: everything else on the machine comes first. */
const NICE = 19;
/**
 * Limits that hold also when this process dies and can no longer kill its child. Where the system lacks one of them,
 * such as macOS the first, the others hold. Blocks of `ulimit -f` have 512 bytes. Where the system can, the child ends
 * with its parent: it would go on for minutes, next to the one of the worker that follows.
 */
const LIMITED =
  'ulimit -v "$1" 2>/dev/null; ulimit -f "$2" 2>/dev/null; ulimit -t "$3" 2>/dev/null; shift 3; ' +
  `set -- nice -n ${NICE} "$@"; ` +
  'if setpriv --pdeathsig KILL true 2>/dev/null; then exec setpriv --pdeathsig KILL "$@"; fi; exec "$@"';
/** What ffmpeg says when a disk is full; LC_ALL keeps it in English. */
const NO_SPACE = /No space left on device|Disk quota exceeded/;

/**
 * Runs ffmpeg on untrusted input: in a process that can be killed, niced, without the environment of this one, which
 * has secrets, and within limits of time, memory and output.
 * @param program - Absolute path.
 * @throws `signal.reason` on abort, once the process is killed.
 */
export function runFfmpeg(
  program: string,
  args: readonly string[],
  { signal, onFrame }: FfmpegWatch = {},
  limits: FfmpegLimits = FFMPEG_LIMITS,
): Promise<FfmpegOutcome> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason);
    const own = ['-nostdin', '-y', ...args];
    const isWindows = process.platform === 'win32';
    const cpuSeconds = limits.seconds * 4; // several threads; the clock below is the usual bound
    const bounds = [limits.megabytes * 1024, limits.fileMegabytes * 2048, cpuSeconds].map(String);
    const child = isWindows
      ? spawn(program, own, { stdio: ['ignore', 'pipe', 'pipe'] })
      : spawn('/bin/sh', ['-c', LIMITED, 'sh', ...bounds, program, ...own], {
          env: { LC_ALL: 'C' },
          stdio: ['ignore', 'pipe', 'pipe'],
        });
    if (isWindows && child.pid !== undefined) {
      try {
        setPriority(child.pid, NICE);
      } catch {} // it has ended already
    }
    let log = '';
    let killedFor: string | undefined;
    const timer = setTimeout(() => {
      killedFor = `is slower than its bound of ${limits.seconds} s`;
      child.kill('SIGKILL');
    }, limits.seconds * 1000);
    const onAbort = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', onAbort, { once: true });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-LOG_CHARACTERS);
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const frame = /(?:^|\n)frame=(\d{1,9})\n/.exec(text)?.[1];
      if (frame !== undefined) onFrame?.(Number(frame));
    });
    const settle = (outcome: FfmpegOutcome) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      if (signal?.aborted === true) reject(signal.reason);
      else resolve(outcome);
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      settle({ kind: 'failed', reason: `cannot run: ${error.code ?? error.message}`, mayPass: true });
    });
    child.once('close', (code, by) => settle(outcomeOf(code, by, { log, killedFor })));
  });
}

function outcomeOf(
  code: number | null,
  by: NodeJS.Signals | null,
  { log, killedFor }: { readonly log: string; readonly killedFor: string | undefined },
): FfmpegOutcome {
  if (killedFor !== undefined) return { kind: 'failed', reason: killedFor, mayPass: false };
  if (code === 0) return { kind: 'done', log };
  if (NO_SPACE.test(log)) return { kind: 'failed', reason: 'has no space left on its disk', mayPass: true };
  if (by === 'SIGXCPU') return { kind: 'failed', reason: 'needs too much time', mayPass: false };
  if (by === 'SIGXFSZ') return { kind: 'failed', reason: 'writes too large a file', mayPass: false };
  if (by !== null) return { kind: 'failed', reason: `was ended by ${by}`, mayPass: true };
  if (code === 126 || code === 127) return { kind: 'failed', reason: 'cannot run', mayPass: true };
  // Of what it says only the fault: paths of this machine are nobody's business.
  const line = log.trimEnd().split('\n').at(-1) ?? '';
  const text = cleanText(line.replace(/(?:file:)?\/[^\s:]+/g, 'the file'), REASON_CHARACTERS);
  return { kind: 'failed', reason: `fails with code ${code}: ${text}`, mayPass: false };
}

/** An ffmpeg that has what is needed. */
export interface FoundFfmpeg {
  readonly program: string;
  readonly version: string;
}

/** Two frames through every filter, encoder and format that is used, instead of a list of versions that have them. */
const TRIAL = [
  ...['-v', 'info', '-f', 'lavfi', '-i', 'color=s=64x64:r=30:d=0.2', '-f', 'lavfi', '-i', 'sine=d=0.2'],
  ...['-vf', 'framerate=fps=24,fps=fps=24:start_time=0,tpad=stop_mode=clone:stop_duration=1,scale=64:64,crop=64:64'],
  ...['-af', 'aresample=async=1:first_pts=0,apad,atrim=end=0.1', '-c:v', 'libx264', '-c:a', 'aac'],
  ...['-frames:v', '2', '-movflags', '+frag_keyframe', '-f', 'mp4', 'pipe:1'],
];
const TRIAL_LIMITS: FfmpegLimits = { ...FFMPEG_LIMITS, seconds: 30 };

/**
 * Finds ffmpeg, and tries what it is needed for.
 * @param name - A path, or a name that is looked for in `searchPath`.
 * @returns why there is none that can be used, as a sentence, or the program.
 */
export async function findFfmpeg(
  { program: name, searchPath }: { readonly program: string; readonly searchPath: string },
  signal?: AbortSignal,
): Promise<FoundFfmpeg | string> {
  const program = await locate(name, searchPath);
  if (program === undefined) return `${name} is not installed`;
  const tried = await runFfmpeg(program, TRIAL, { signal }, TRIAL_LIMITS);
  if (tried.kind === 'failed') return `${program} ${tried.reason}`;
  return { program, version: /ffmpeg version (\S{1,60})/.exec(tried.log)?.[1] ?? 'unknown' };
}

async function locate(name: string, searchPath: string): Promise<string | undefined> {
  const places = isAbsolute(name) ? [name] : searchPath.split(delimiter).map((folder) => join(folder, name));
  for (const place of places.flatMap((one) => (process.platform === 'win32' ? [one, `${one}.exe`] : [one]))) {
    if (!isAbsolute(place)) continue;
    const isThere = await access(place, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return place;
  }
  return undefined;
}

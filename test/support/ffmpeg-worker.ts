import { randomUUID } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { VideoResult } from '../../src/contract/result.js';
import { type Account, account } from './account.js';
import type { Stack } from './stack.js';

/** Passes the trial at a worker's start, and then does this. */
export const laterThan = (script: string): string => `case "$*" in *lavfi*) exit 0;; esac; ${script}`;

export const codesOf = ({ warnings }: VideoResult): string[] => warnings.map(({ code }) => code);

/** Writes a program that is run in the place of ffmpeg. */
export async function writeProgram(folder: string, script: string): Promise<string> {
  const program = join(folder, randomUUID());
  await writeFile(program, `#!/bin/sh\n${script}\n`);
  await chmod(program, 0o755);
  return program;
}

/** Starts a worker with its own queues whose ffmpeg is this script; undefined: none. */
export async function workerWithFfmpeg(
  stack: Stack,
  folder: string,
  script: string | undefined,
  times: Parameters<typeof account>[2] = {},
): Promise<Account> {
  const one = account(stack, 5, { conformScheduleToStartMs: 500, ...times });
  if (script === undefined) await one.startWorker();
  else await one.startWorker(5, { ffmpeg: { program: await writeProgram(folder, script), searchPath: '' } });
  return one;
}

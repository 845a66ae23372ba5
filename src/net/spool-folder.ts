import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Twice as long as any step may take: an older file belongs to a worker that was killed. */
const STALE_MS = 48 * 3_600_000;

/** Temporary files of this host; workers share the folder, and each file has a name of its own. */
export const SPOOL_FOLDER = join(tmpdir(), 'wan-video-spool');

/**
 * Makes the folder and removes stale files of killed workers. Never rejects: a step that cannot write reports it
 * itself.
 */
export async function tidySpoolFolder(nowMs: number, folder = SPOOL_FOLDER): Promise<void> {
  await mkdir(folder, { recursive: true }).catch(() => undefined);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const file = join(folder, name);
    const age =
      nowMs -
      (await stat(file).then(
        ({ mtimeMs }) => mtimeMs,
        () => nowMs,
      ));
    if (age > STALE_MS) await rm(file, { force: true, recursive: true }).catch(() => undefined);
  }
}

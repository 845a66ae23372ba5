import { readFileSync, statSync } from 'node:fs';
import { rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The holder updates its lock's time this often. */
const TOUCH_MS = 3_000;
/** A lock with an older time is stale, even if another process has its process id now. */
const STALE_MS = 30_000;
const CHECK_EVERY_MS = 200;

/**
 * Makes sure that one process at a time works with the state in `directory`: waits while another one does. A lock whose
 * holder died is replaced.
 * @param onHeld - Called once with the holder's process id before waiting; may throw to refuse instead.
 * @returns a function that releases the lock.
 */
export async function lockDirectory(directory: string, onHeld: (pid: number) => void): Promise<() => Promise<void>> {
  const lock = lockOf(directory);
  for (let notified = false; ; ) {
    try {
      await writeFile(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = holderOf(directory);
    if (holder === 'nobody') {
      await rm(lock, { force: true });
      continue;
    }
    if (!notified && holder > 0) {
      notified = true;
      onHeld(holder);
    }
    await sleep(CHECK_EVERY_MS);
  }
  const touch = setInterval(() => {
    const now = new Date();
    utimes(lock, now, now).catch(() => undefined);
  }, TOUCH_MS);
  touch.unref();
  return async () => {
    clearInterval(touch);
    await rm(lock, { force: true });
  };
}

const lockOf = (directory: string): string => join(directory, 'lock');

/** The process id of the holder of a directory's lock; 0 while the file is being written or when there is none. */
export function holderOf(directory: string): number | 'nobody' {
  const lock = lockOf(directory);
  try {
    if (Date.now() - statSync(lock).mtimeMs > STALE_MS) return 'nobody';
    const pid = Number(readFileSync(lock, 'utf8'));
    return pid === 0 || isAlive(pid) ? pid : 'nobody';
  } catch {
    return 0;
  }
}

/** Whether a process with this id exists, of any program. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

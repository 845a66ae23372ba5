// A lock file between processes of one machine. Node's own modules only: it is used before anything is installed.
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The holder of a lock touches it this often; one that was not touched for ten times as long is stale. */
const TOUCH_MS = 3_000;

/**
 * Runs `work` while no other process holds the lock `file`; a stale lock, whose holder has died, is removed.
 * @param onWait - Called once, before the first wait for another holder.
 */
export async function withLock(file, onWait, work) {
  mkdirSync(dirname(file), { recursive: true });
  for (let waited = false; ; ) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isStale(file)) {
      rmSync(file, { force: true });
      continue;
    }
    if (!waited) onWait();
    waited = true;
    await sleep(200);
  }
  const touch = setInterval(() => touchFile(file), TOUCH_MS);
  try {
    return await work();
  } finally {
    clearInterval(touch);
    rmSync(file, { force: true });
  }
}

function touchFile(file) {
  try {
    utimesSync(file, new Date(), new Date());
  } catch {
    // Somebody removed the lock file. The work goes on: what it makes is renamed into place when it is whole.
  }
}

function isStale(file) {
  try {
    const { mtimeMs } = statSync(file);
    if (Date.now() - mtimeMs > 10 * TOUCH_MS) return true;
    const pid = Number(readFileSync(file, 'utf8'));
    if (!pid) return false; // just made, not yet written
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

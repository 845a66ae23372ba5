import { setTimeout as sleep } from 'node:timers/promises';

/** Once a second is as often as a person reads. On Temporal Cloud a description is free; only a query is an Action. */
const LOOK_EVERY_MS = 1_000;

/** Waits until what is followed is looked at again, or has ended. @param end - Must not reject. */
export async function nextLook(end: Promise<unknown>): Promise<void> {
  const pause = new AbortController();
  await Promise.race([end, sleep(LOOK_EVERY_MS, undefined, pause).catch(() => undefined)]);
  pause.abort();
}

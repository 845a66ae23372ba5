import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** The folder in which the scripts of `scripts/parts` keep what they install. */
export const PARTS_FOLDER = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'wan-video-temporal');

/** Finds an optional tool: the first of `paths` that exists, then `name` on PATH. */
export function findPart(name: string, ...paths: string[]): string | undefined {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name));
  return [...paths, ...onPath].find((path) => existsSync(path));
}

/**
 * Says in one line that an optional tool is missing, so that its test is skipped where it can be seen.
 * @throws with REQUIRE_PARTS=1, where nothing may be skipped.
 */
export function partIsMissing(name: string, remedy: string): void {
  const line = `${name} is missing, its test is skipped: ${remedy}`;
  if (process.env['REQUIRE_PARTS'] === '1') throw new Error(line);
  console.warn(line);
}

/** Finds the Chromium that browser tests use; says that it is missing like {@link partIsMissing}. */
export function findChromium(): string | undefined {
  const path = process.env['CHROMIUM_PATH'] || findPart('chromium');
  if (path === undefined) partIsMissing('Chromium', 'scripts/parts/chromium.sh installs it, or set CHROMIUM_PATH');
  return path;
}

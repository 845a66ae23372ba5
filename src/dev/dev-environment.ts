import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { holderOf } from './directory-lock.js';

/** Variables of a running `wan-video dev`, for commands in its folder. */
export type DevEnvironment = Readonly<Record<string, string>>;

/** Folders that `wan-video dev` keeps its state in, below the one it was started in. */
export const DEV_FOLDERS = { emulator: '.wan-video/dev', live: '.wan-video/dev-live' } as const;

/** The file in such a folder that says how commands reach the parts; it exists while they run. */
export const environmentFile = (directory: string): string => join(directory, 'environment.json');

/** Variables that name a Temporal: a command with one of them has its own. */
const TEMPORAL_VARIABLES = ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'];

/**
 * What a command uses in a folder in which `wan-video dev` runs; undefined when none runs there, or when the
 * environment names a Temporal. All of it takes the place of what the environment says: a part of it, such as this
 * Temporal with the real provider, would be a mixture.
 */
export function devEnvironment(
  cwd: string,
  env: Readonly<Record<string, string | undefined>>,
): DevEnvironment | undefined {
  if (TEMPORAL_VARIABLES.some((name) => (env[name] ?? '') !== '')) return undefined;
  for (const folder of Object.values(DEV_FOLDERS)) {
    const directory = join(cwd, folder);
    const holder = holderOf(directory);
    if (holder === 'nobody' || holder === 0) continue;
    try {
      return JSON.parse(readFileSync(environmentFile(directory), 'utf8')) as DevEnvironment;
    } catch {
      // It is not ready, or is ending.
    }
  }
  return undefined;
}

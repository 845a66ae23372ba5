import { homedir } from 'node:os';
import { join } from 'node:path';

/** The user's cache folder, by the XDG base directory specification; keeps downloads and compiled code between runs. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache'), 'wan-video-temporal');
}

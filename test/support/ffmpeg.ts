import { execFileSync } from 'node:child_process';

/**
 * Whether ffmpeg and ffprobe are there to decode with; says what is skipped without them, or refuses with
 * REQUIRE_PARTS=1.
 */
export function hasFfmpeg(what: string): boolean {
  try {
    for (const name of ['ffmpeg', 'ffprobe']) execFileSync(name, ['-version'], { stdio: 'ignore' });
    return true;
  } catch {
    const missing = 'no ffmpeg and ffprobe on PATH (Debian: apt-get install ffmpeg)';
    if (process.env['REQUIRE_PARTS'] === '1') throw new Error(`Cannot decode ${what}: ${missing}`);
    console.warn(`SKIPPED: decoding ${what}: ${missing}`);
    return false;
  }
}

import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** How to get what is missing, for the line that a skipped test prints. */
export const PYTHON_PART = 'scripts/parts/python.sh makes it, or set WAN_VIDEO_PYTHON to an interpreter that has it';

/**
 * Finds a Python that has `module`: `WAN_VIDEO_PYTHON`, else the environment of `scripts/parts/python.sh`.
 * @returns the interpreter's path, or `undefined` when there is none with that module.
 * @throws Error when `REQUIRE_PARTS=1` and there is none, or when `WAN_VIDEO_PYTHON` names one without the module:
 * a named interpreter is meant to be used.
 */
export async function findPython(module: string, env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  const named = env['WAN_VIDEO_PYTHON'];
  const cache = env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache');
  const python = named || join(cache, 'wan-video-temporal', 'python', 'bin', 'python');
  if (await has(python, module)) return python;
  if (named) throw new Error(`WAN_VIDEO_PYTHON names no Python with the module ${module}: ${named}`);
  if (env['REQUIRE_PARTS'] === '1') throw new Error(`No Python with the module ${module}: ${PYTHON_PART}`);
  return undefined;
}

async function has(python: string, module: string): Promise<boolean> {
  try {
    // find_spec does not run the module: importing it would cost a second.
    await run(python, [
      '-c',
      `import importlib.util as u, sys; sys.exit(u.find_spec(${JSON.stringify(module)}) is None)`,
    ]);
    return true;
  } catch {
    return false;
  }
}

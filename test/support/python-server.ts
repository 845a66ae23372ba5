import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A web server that is not ours. */
export interface PythonServer {
  /** Where its folder is served, without a final slash. */
  readonly url: string;
  close(): Promise<void>;
}

/** Whether there is a Python to serve with; prints what is skipped without it, or throws with REQUIRE_PARTS=1. */
export function hasPython(what: string): boolean {
  try {
    execFileSync('python3', ['-c', 'import http.server'], { stdio: 'ignore' });
    return true;
  } catch {
    const missing = 'no python3 on PATH (Debian: apt-get install python3)';
    if (process.env['REQUIRE_PARTS'] === '1') throw new Error(`Cannot test ${what}: ${missing}`);
    console.warn(`SKIPPED: ${what}: ${missing}`);
    return false;
  }
}

/** Python's own `http.server` on a folder: it answers as HTTP/1.0 and closes the connection after each answer. */
export async function startPythonServer(folder: string): Promise<PythonServer> {
  const child = spawn('python3', ['-u', '-m', 'http.server', '0', '--bind', '127.0.0.1', '--directory', folder], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'close');
  // "Serving HTTP on 127.0.0.1 port 41234 (http://127.0.0.1:41234/) ..."
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended.then(([code]) => {
      throw new Error(`python3 -m http.server ended with ${code}`);
    }),
  ])) as [string];
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
  if (url === undefined) throw new Error(`python3 -m http.server wrote ${line}`);
  return {
    url,
    async close() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

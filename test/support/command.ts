import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PassThrough, Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../src/cli/program.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** A home without settings. Commands keep compiled code below it, so it is not in the working tree. */
const NO_HOME = join(tmpdir(), 'wan-video-no-home');

/** What came of a command. */
export interface CommandEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Everything that any command of this test file wrote; a test looks for secrets in it. */
export const everyOutput: string[] = [];

/** A command that runs in this process. */
export interface CommandOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly stdin?: Readable & { isTTY?: boolean };
  /** Width of a terminal on stderr; default: no terminal. */
  readonly columns?: number;
}

/** Runs a command's own function, without the half second that a process takes. */
export async function command(args: readonly string[], options: CommandOptions = {}): Promise<CommandEnd> {
  const { env = {}, cwd = ROOT, stdin = Readable.from([]), columns } = options;
  const [stdout, stderr] = [new Sink(), new Sink()];
  if (columns !== undefined) Object.assign(stderr, { isTTY: true, columns });
  const io = { env, cwd, homeDir: join(cwd, 'no-home'), stdin, stdout, stderr, onInterrupt: () => () => {} };
  const code = await runCommand(args, io, '0.0.0-test');
  everyOutput.push(stdout.text, stderr.text);
  return { code, stdout: stdout.text, stderr: stderr.text };
}

class Sink extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}

/** A command as a process. */
export interface RunningCommand {
  readonly process: ChildProcess;
  readonly stdin: PassThrough | NodeJS.WritableStream;
  /** Waits until its stderr (or stdout) has a text that fits, and resolves it; rejects when the process ends before. */
  said(pattern: RegExp, stream?: 'stdout' | 'stderr'): Promise<string>;
  readonly ended: Promise<CommandEnd>;
}

const MAIN = join(ROOT, 'dist', 'src', 'cli', 'main.js');

/** Starts the built command as a process with this environment and nothing else. */
export const startCommand = (args: readonly string[], env: Record<string, string>, cwd = ROOT): RunningCommand =>
  startProcess([process.execPath, MAIN, ...args], env, cwd);

/**
 * Starts the built command on a pseudo-terminal of 40 lines: stdout is what the terminal shows of stdout and stderr,
 * and what is written to stdin is typed, such as `\x03` for Ctrl-C.
 */
export function startOnTerminal(
  args: readonly string[],
  env: Record<string, string>,
  { cwd = ROOT, columns = 100 }: { readonly cwd?: string; readonly columns?: number } = {},
): RunningCommand {
  const words = [process.execPath, MAIN, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  const line = `stty rows 40 cols ${columns}; exec ${words.join(' ')}`;
  return startProcess(
    ['script', '-qefc', line, '/dev/null'],
    { TERM: 'xterm-256color', SHELL: '/bin/sh', ...env },
    cwd,
  );
}

function startProcess(
  [program = '', ...args]: readonly string[],
  env: Record<string, string>,
  cwd: string,
): RunningCommand {
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env['PATH'], HOME: NO_HOME, ...env },
    stdio: 'pipe',
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      text[name] += String(chunk);
    });
  }
  let end: CommandEnd | undefined;
  const ended = once(child, 'close').then(([code]) => {
    end = { code: code as number | null, ...text };
    everyOutput.push(text.stdout, text.stderr);
    return end;
  });
  const said = async (pattern: RegExp, stream: 'stdout' | 'stderr' = 'stderr'): Promise<string> => {
    for (;;) {
      const found = pattern.exec(text[stream]);
      if (found !== null) return found[0];
      if (end !== undefined) throw new Error(`the command ended without ${pattern}: ${JSON.stringify(end)}`);
      await Promise.race([once(child[stream], 'data'), ended]);
    }
  };
  return { process: child, stdin: child.stdin, said, ended };
}

/** Runs the built command as a process to its end. */
export const processOf = (args: readonly string[], env: Record<string, string>, cwd?: string): Promise<CommandEnd> => {
  const started = startCommand(args, env, cwd);
  started.stdin.end();
  return started.ended;
};

/** The one JSON document of a `--json` command. */
export function onlyJson(end: CommandEnd): Record<string, unknown> & { error: Record<string, unknown> } {
  const lines = end.stdout.trimEnd().split('\n');
  if (lines.length !== 1) throw new Error(`expected one line on stdout: ${end.stdout}`);
  return JSON.parse(lines[0] as string) as Record<string, unknown> & { error: Record<string, unknown> };
}

import { cleanLines, printableJson } from '../contract/safe-text.js';
import { ExitCode } from '../text/exit-code.js';
import type { CommandIo } from './io.js';

/**
 * What every command works with: its process, how it reports, and its exit code. Light, so that `--help` stays fast.
 */
export class CommandContext {
  readonly io: CommandIo;
  /** Whether `--json` was given. */
  readonly json: boolean;
  exitCode: number = ExitCode.done;

  constructor(io: CommandIo, json: boolean) {
    this.io = io;
    this.json = json;
  }

  /** Makes a command's action from a function that resolves to its exit code. */
  action<A extends unknown[]>(run: (...args: A) => Promise<number>): (...args: A) => Promise<void> {
    return async (...args) => {
      this.exitCode = await run(...args);
    };
  }

  /** Writes the one result of a command to stdout: `value` with `--json`, else `text`, safe for a terminal. */
  result(value: unknown, text: string): void {
    if (this.json) this.printJson(value);
    else this.io.stdout.write(`${cleanLines(text)}\n`);
  }

  /** Writes one line of JSON to stdout, safe for a terminal. */
  printJson(value: unknown): void {
    this.io.stdout.write(`${printableJson(value)}\n`);
  }

  /** Writes a remark to stderr. */
  say(line: string): void {
    this.io.stderr.write(`${cleanLines(line)}\n`);
  }
}

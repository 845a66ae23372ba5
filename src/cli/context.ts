import { cleanLines, printableJson } from '../contract/safe-text.js';
import { devEnvironment } from '../dev/dev-environment.js';
import { decorate } from '../text/decorate.js';
import { ExitCode } from '../text/exit-code.js';
import type { CommandIo } from './io.js';

/**
 * What every command works with: its process, how it reports, and its exit code. Light, so that `--help` stays fast.
 */
export class CommandContext {
  io: CommandIo;
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

  /** Lets the flags of a command take the place of the variables of Temporal's address and namespace. */
  useTemporal({ address, namespace }: { readonly address?: string; readonly namespace?: string }): void {
    const flags = {
      ...(address !== undefined && { TEMPORAL_ADDRESS: address }),
      ...(namespace !== undefined && { TEMPORAL_NAMESPACE: namespace }),
    };
    this.io = { ...this.io, env: { ...this.io.env, ...flags } };
  }

  /** Uses what `wan-video dev` runs in this folder, unless the environment or a flag names a Temporal. */
  useDev(): void {
    const found = devEnvironment(this.io.cwd, this.io.env);
    if (found === undefined) return;
    this.io = { ...this.io, env: { ...this.io.env, ...found } };
    this.say(`Using "wan-video dev" of this folder, Temporal at ${found['TEMPORAL_ADDRESS']}.`);
  }

  /**
   * Writes the one result of a command to stdout: `value` with `--json`, else `text`, safe for a terminal.
   * @param paths - Of files and folders in the text, which become links on a terminal.
   */
  result(value: unknown, text: string, paths: readonly string[] = []): void {
    if (this.json) this.printJson(value);
    else this.#print(this.io.stdout, text, paths);
  }

  /** Writes one line of JSON to stdout, safe for a terminal. */
  printJson(value: unknown): void {
    this.io.stdout.write(`${printableJson(value)}\n`);
  }

  /** Writes a remark to stderr; see {@link CommandContext.result}. */
  say(line: string, paths: readonly string[] = []): void {
    this.#print(this.io.stderr, line, paths);
  }

  #print(stream: CommandIo['stderr'], text: string, paths: readonly string[]): void {
    stream.write(`${decorate(cleanLines(text), { stream, env: this.io.env, paths })}\n`);
  }
}

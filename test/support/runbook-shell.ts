import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { ROOT } from './root.js';
import type { RunbookLine, RunbookSection } from './runbook.js';

/** Longest that a line may take until it says what is expected: a step's retries are a minute apart. */
const TRUE_WITHIN_MS = 120_000;
/** What runs until it is stopped, and the line of its output that says that it is there. */
const SERVICES: readonly (readonly [command: RegExp, ready: RegExp])[] = [
  [/^wan-video worker$/, /\n/],
  [/^temporal server start-dev /, /Server: |Temporal Server/i],
];

/** What a scenario prepares for the commands of a section. */
export interface Scenario {
  readonly env: Readonly<Record<string, string>>;
  /** Values of the words in capitals. */
  readonly words: Record<string, string>;
  /** What happens before the n-th block (from 0) that is tagged `later`. */
  readonly later?: (n: number) => Promise<void>;
}

/** A shell with `wan-video` and `temporal`, as the runbook's reader has it. */
export class RunbookShell {
  readonly #folder: string;
  readonly #services: ChildProcess[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param folder - Of its own; the caller removes it. */
  static async open(folder: string): Promise<RunbookShell> {
    const bin = join(folder, 'bin');
    await mkdir(bin, { recursive: true });
    const tools = {
      'wan-video': `"${process.execPath}" "${join(ROOT, 'dist', 'src', 'cli', 'main.js')}"`,
      temporal: `"${await findTemporalCli(process.env)}"`,
    };
    for (const [name, target] of Object.entries(tools)) {
      await writeFile(join(bin, name), `#!/bin/sh\nexec ${target} "$@"\n`);
      await chmod(join(bin, name), 0o755);
    }
    return new RunbookShell(folder);
  }

  /**
   * Runs every line of a section in its order. @throws Error that names the line, what it said and what was expected.
   */
  async run({ blocks }: RunbookSection, scenario: Scenario): Promise<void> {
    let later = 0;
    for (const block of blocks) {
      if (block.later) await scenario.later?.(later++);
      for (const line of block.lines) await this.#line(line, scenario);
    }
  }

  /** Runs one command line to its end. */
  async once(line: string, scenario: Scenario): Promise<{ readonly code: number; readonly output: string }> {
    const filled = Object.entries(scenario.words).reduce(
      (text, [word, value]) => text.replace(new RegExp(`(?<![\\w-])${word}\\b`, 'g'), () => value),
      line,
    );
    return new Promise((resolve) => {
      const options = { env: this.#env(scenario), cwd: this.#folder };
      execFile('/bin/sh', ['-c', filled], options, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${filled}\n${stdout}${stderr}` });
      });
    });
  }

  /** Starts what runs until it is stopped, and waits until it is there; it is the `PID` from then on. */
  async start(line: string, scenario: Scenario, ready: RegExp = /\n/): Promise<ChildProcess> {
    const filled = Object.entries(scenario.words).reduce(
      (text, [word, value]) => text.replace(new RegExp(`(?<![\\w-])${word}\\b`, 'g'), () => value),
      line,
    );
    // exec: a signal to the process reaches the program, not a shell around it.
    const child = spawn('/bin/sh', ['-c', `exec ${filled}`], { env: this.#env(scenario), cwd: this.#folder });
    this.#services.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += String(chunk);
      });
    }
    for (const untilMs = Date.now() + TRUE_WITHIN_MS; !ready.test(output); await sleep(50)) {
      if (child.exitCode !== null) throw new Error(`${filled} ended with ${child.exitCode}: ${output}`);
      if (Date.now() > untilMs) throw new Error(`${filled} is not there: ${output}`);
    }
    return child;
  }

  /** Ends everything that still runs. */
  close(): void {
    for (const child of this.#services) child.kill('SIGKILL');
  }

  async #line(line: RunbookLine, scenario: Scenario): Promise<void> {
    const service = SERVICES.find(([pattern]) => pattern.test(line.command));
    if (service !== undefined) {
      const child = await this.start(line.command, scenario, service[1]);
      if (line.command.startsWith('wan-video')) scenario.words['PID'] = String(child.pid);
      return;
    }
    for (const untilMs = Date.now() + TRUE_WITHIN_MS; ; await sleep(500)) {
      const { code, output } = await this.once(line.command, scenario);
      if (code === line.exits && (line.says === undefined || output.includes(line.says))) return;
      if (!line.expects || Date.now() > untilMs) {
        const wanted = `exit code ${line.exits}${line.says === undefined ? '' : ` and "${line.says}"`}`;
        throw new Error(`expected ${wanted}, came to ${code}: ${output}`);
      }
    }
  }

  #env({ env }: Scenario): Record<string, string> {
    const path = `${join(this.#folder, 'bin')}:${process.env['PATH'] ?? ''}`;
    return { PATH: path, HOME: join(this.#folder, 'no-home'), LOG_LEVEL: 'fatal', ...env };
  }
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { VideoFailure } from '../../src/contract/failure.js';
import type { CancelOutcome } from '../../src/contract/result.js';

/** What a parent workflow of another language returns. */
export interface ParentAnswer {
  readonly video_url?: string;
  readonly task_id?: string;
  readonly failure?: VideoFailure;
  readonly cancelled?: CancelOutcome;
}

/** A program that runs a workflow of its own, which needs one video. */
export interface ParentProgram {
  /** Workflow id of the parent, once it has started. */
  readonly workflowId: Promise<string>;
  readonly answer: Promise<ParentAnswer>;
  readonly process: ChildProcess;
}

/** Runs such a program. @param env - The server's address, and a namespace for a call by Nexus. */
export function startParent(
  command: readonly [string, ...string[]],
  request: object,
  env: Readonly<Record<string, string>>,
): ParentProgram {
  const [file, ...args] = command;
  const child = spawn(file, [...args, JSON.stringify(request)], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NO_PROXY: '127.0.0.1', ...env },
    stdio: 'pipe',
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  const isId = (line: string) => /^(python|go)\/[\w-]+$/.test(line);
  const ended = once(child, 'close');
  const noAnswer = () => new Error(`the program ended: ${lines.join('\n')}`);
  const workflowId = new Promise<string>((resolve, reject) => {
    reader.on('line', (line) => isId(line) && resolve(line));
    void ended.then(() => reject(noAnswer()));
  });
  workflowId.catch(() => undefined);
  const answer = Promise.all([text(child.stdout), ended]).then(([stdout, [code]]) => {
    if (code !== 0) throw noAnswer();
    // The SDK of Go logs on stdout as well.
    return JSON.parse(stdout.split('\n').findLast((line) => line.startsWith('{')) ?? '') as ParentAnswer;
  });
  answer.catch(() => undefined);
  return { workflowId, answer, process: child };
}

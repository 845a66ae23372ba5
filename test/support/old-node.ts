import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { findPart, PARTS_FOLDER, partIsMissing } from '../structure/parts.js';
import { ROOT } from './root.js';

/** As in scripts/parts/old-node.sh. */
const OLD = '18.20.8';
/** The oldest version that is supported. */
export const NEEDED = '22.19.0';
/** Path of a Node.js that is too old; undefined: it is not installed. */
export const oldNode = findPart('old-node', join(PARTS_FOLDER, `old-node-${OLD}`, 'node'));
if (oldNode === undefined) partIsMissing(`Node.js ${OLD}`, 'scripts/parts/old-node.sh installs it');

interface Ended {
  readonly code: number | null;
  readonly printed: string;
  readonly lines: readonly string[];
}

/** Starts a program on the old Node.js, which is also the first on its PATH. */
export function startOnOldNode(args: readonly string[], env: Record<string, string> = {}, cwd = ROOT) {
  const path = `${dirname(oldNode!)}:${process.env['PATH']}`;
  const child = spawn(oldNode!, args, {
    cwd,
    env: { ...process.env, PATH: path, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { child, ended: collect(child) };
}

async function collect(child: ChildProcess): Promise<Ended> {
  let [printed, said] = ['', ''];
  child.stdout?.on('data', (chunk) => {
    printed += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, printed, lines: said.split('\n').filter((line) => line !== '') };
}

/** Runs a program to its end on the old Node.js. */
export const runOnOldNode = (args: readonly string[], env?: Record<string, string>, cwd?: string) =>
  startOnOldNode(args, env, cwd).ended;

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './root.js';

/** One command line of docs/operations.md, with what its comment expects. */
export interface RunbookLine {
  /** As it is written there, without its comment. */
  readonly command: string;
  readonly exits: number;
  /** Text in its output; undefined when any will do. */
  readonly says: string | undefined;
  readonly expects: boolean;
}

/** One fenced block of commands. */
interface RunbookBlock {
  /** `fixed`: its lines become true after a while. */
  readonly fixed: boolean;
  /** `later`: something has happened in the world since the block before. */
  readonly later: boolean;
  readonly lines: readonly RunbookLine[];
}

/** One section of docs/operations.md that has commands. */
export interface RunbookSection {
  readonly title: string;
  readonly blocks: readonly RunbookBlock[];
}

/** Reads the command lines out of docs/operations.md. */
export function readRunbook(): RunbookSection[] {
  const text = readFileSync(join(ROOT, 'docs', 'operations.md'), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.slice(0, section.indexOf('\n')),
      blocks: [...section.matchAll(/^```sh(.*)\n([\s\S]*?)^```$/gm)].map(([, tags = '', body = '']) => ({
        fixed: /\bfixed\b/.test(tags),
        later: /\blater\b/.test(tags),
        lines: body.trimEnd().split('\n').map(readLine),
      })),
    }));
}

function readLine(line: string): RunbookLine {
  const [, command = '', comment = ''] = /^(.*?)(?:\s+# (.*))?$/.exec(line) ?? [];
  const exits = /exits with (\d+)/.exec(comment)?.[1];
  const says = /says "([^"]+)"/.exec(comment)?.[1];
  return { command, exits: Number(exits ?? 0), says, expects: exits !== undefined || says !== undefined };
}

/** The words of a command line of a POSIX shell that has quotes and nothing else. */
export function shellWords(line: string): string[] {
  return [...line.matchAll(/(?:[^\s'"]+|'[^']*'|"[^"]*")+/g)].map(([word]) =>
    word.replace(/'([^']*)'|"([^"]*)"/g, (_whole, single?: string, double?: string) => single ?? double ?? ''),
  );
}

#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { faultOfNode } from './node-version.js';

// A reader that closes its end early (`| head -1`) is not an error of the command.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

function onInterrupt(handler: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}

/** Waits until the stream has passed on everything that was written. */
const flushed = (stream: NodeJS.WriteStream) => new Promise<void>((resolve) => stream.write('', () => resolve()));

const { version, engines } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
  engines: { node: string };
};
const fault = faultOfNode(process.versions.node, engines.node);
if (fault !== undefined) {
  process.stderr.write(`${fault}\n`);
  process.exit(1);
}
// Loaded only now: an older Node.js cannot load every package, and would end with a stack.
const { runCommand } = await import('./program.js');
const { env, stdin, stdout, stderr } = process;
const io = { env, cwd: process.cwd(), homeDir: homedir(), stdin, stdout, stderr, onInterrupt };
const code = await runCommand(process.argv.slice(2), io, version);
await Promise.all([flushed(stdout), flushed(stderr)]);
// Open connections of libraries would keep the process running.
process.exit(code);

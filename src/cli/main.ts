#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import module from 'node:module';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import { faultOfNode } from './node-version.js';

// A reader that closes its end early (`| head -1`) is not an error of the command.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Ends the process on a signal that comes before its command listens. The first process of a container ignores signals
 * without a listener, so it would be killed at the end of the grace period. A worker has not begun anything by then:
 * that is an ordinary end.
 */
const endEarly = (signal: (typeof SIGNALS)[number]) =>
  process.exit(process.argv[2] === 'worker' ? 0 : 128 + constants.signals[signal]);
for (const signal of SIGNALS) process.on(signal, endEarly);

function onInterrupt(handler: () => void): () => void {
  for (const signal of SIGNALS) process.on(signal, handler).off(signal, endEarly);
  return () => {
    for (const signal of SIGNALS) process.off(signal, handler);
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
// Temporal's client prints connection errors by itself, next to the one that the command reports.
process.env['GRPC_VERBOSITY'] ??= 'NONE';
// Loaded only now: an older Node.js cannot load every package, and would end with a stack.
const { cacheFolder } = await import('../config/cache-folder.js');
// Most of a short command's time is the compilation of libraries. Where the folder cannot be written, nothing is kept.
module.enableCompileCache(join(cacheFolder(process.env), 'compiled'));
const { runCommand } = await import('./program.js');
const { env, stdin, stdout, stderr } = process;
const io = { env, cwd: process.cwd(), homeDir: homedir(), stdin, stdout, stderr, onInterrupt };
const code = await runCommand(process.argv.slice(2), io, version);
await Promise.all([flushed(stdout), flushed(stderr)]);
// Open connections of libraries would keep the process running.
process.exit(code);

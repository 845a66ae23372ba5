// npm run bench: every figure of docs/performance.md. What needs the machine for itself first, then what mostly waits,
//     side by side:
//   node bench/all.mjs [--full] [--json FILE]
// Exit code 1: a bound is not kept, or a part did not end.
import '../scripts/require-node.mjs';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { full: { type: 'boolean', default: false }, json: { type: 'string' } } });
const full = values.full ? ['--full'] : [];
const folder = mkdtempSync(join(tmpdir(), 'wan-video-bench-json-'));
const startedMs = Date.now();
const parts = [];

/** Runs a script of this folder to its end; its lines come together when it has ended. */
async function run(script, args = []) {
  const file = join(folder, `${parts.length}.json`);
  const part = { script: [script, ...args].join(' '), file, code: undefined, output: '' };
  parts.push(part);
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [path, ...args, '--json', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.on('data', (chunk) => {
    part.output += chunk;
  });
  part.code = await new Promise((resolve) => child.once('close', resolve));
  const seconds = Math.round((Date.now() - startedMs) / 1000);
  process.stdout.write(`\n${part.script}, ended after ${seconds} s with ${part.code}\n\n${part.output}`);
}

try {
  await run('storage.mjs');
  await run('slots-queue.mjs');
  await run('slots-replay.mjs');
  await run('ledger.mjs');
  await run('processes.mjs');
  await run('tracing.mjs');
  await run('temporal.mjs', ['--only', 'overhead,overhead-s3,throughput,memory', ...full]);
  await Promise.all([run('run.mjs', full), run('temporal.mjs', ['--only', 'actions,workers,batch', ...full])]);
  if (values.json !== undefined) {
    const done = parts.filter(({ code }) => code === 0 || code === 1);
    const figures = done.map(({ script, file }) => ({ script, figures: JSON.parse(readFileSync(file, 'utf8')) }));
    writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const broken = parts.filter(({ code }) => code !== 0);
for (const { script, code } of broken) process.stdout.write(`NOT HELD: ${script} ended with ${code}\n`);
process.exit(broken.length > 0 ? 1 : 0);

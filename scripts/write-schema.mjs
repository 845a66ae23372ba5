// Writes docs/request.schema.json from the zod schema of the built contract; with --check it only compares.
import './require-node.mjs';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { videoRequestSchema } from '../dist/src/contract/request.schema.js';

const path = fileURLToPath(new URL('../docs/request.schema.json', import.meta.url));
const text = `${JSON.stringify(z.toJSONSchema(videoRequestSchema, { io: 'input' }), null, 2)}\n`;

if (!process.argv.includes('--check')) {
  await writeFile(path, text);
} else if ((await readFile(path, 'utf8').catch(() => '')) !== text) {
  console.error(
    'docs/request.schema.json differs from src/contract/request.schema.ts: run "node scripts/write-schema.mjs" after a build.',
  );
  process.exitCode = 1;
}

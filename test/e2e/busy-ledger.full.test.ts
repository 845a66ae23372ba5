import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { ROOT } from '../support/root.js';
import { s3ServerMissing } from '../support/s3-server.js';

const missing = process.env['REQUIRE_PARTS'] === '1' ? undefined : s3ServerMissing();

test.skipIf(missing !== undefined)(
  'with 50 000 closed purchases of a day, 100 open ones, S3 at 25 ms and budgets, each operation keeps its bound',
  async () => {
    const bench = spawn(process.execPath, [join(ROOT, 'bench', 'ledger.mjs'), '--closed', '0,50000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output, [code]] = await Promise.all([text(bench.stdout), once(bench, 'close')]);
    expect(code, output).toBe(0);
  },
  1_800_000,
);

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { findPart, partIsMissing } from '../structure/parts.js';
import { ROOT } from '../support/root.js';

const promtool = process.env['PROMTOOL'] || findPart('promtool');
if (promtool === undefined) partIsMissing('promtool', "Debian's package prometheus has it, or set PROMTOOL");

test.skipIf(promtool === undefined)(
  "Prometheus' own tool accepts every rule, and the rules for missing workers and audits fire then, and only then",
  async () => {
    const run = (...args: string[]) => promisify(execFile)(promtool ?? '', args, { cwd: ROOT });
    expect((await run('check', 'rules', join('docs', 'alerts.yml'))).stdout).toContain('SUCCESS');
    expect((await run('test', 'rules', join('test', 'fixtures', 'alerts.promtool.yml'))).stdout).toContain('SUCCESS');
  },
);

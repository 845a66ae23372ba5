import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tidySpoolFolder } from '../../src/net/spool-folder.js';

test('what a killed worker left in the spool folder goes after two days, and what is on its way stays', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'spool-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const now = Date.UTC(2026, 0, 10);
  for (const [name, ageHours] of [
    ['old.mp4', 49],
    ['young.mp4', 47],
  ] as const) {
    await writeFile(join(folder, name), 'x');
    await utimes(join(folder, name), new Date(now), new Date(now - ageHours * 3_600_000));
  }
  await tidySpoolFolder(now, folder);
  expect(await readdir(folder)).toEqual(['young.mp4']);
});

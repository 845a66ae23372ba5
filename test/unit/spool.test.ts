import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { spoolToFile } from '../../src/net/spool.js';

test('a source whose file cannot be made is closed, so that no file and no connection stays open', async () => {
  const source = Readable.from([Buffer.from('x')]);
  const beneathAFile = join(fileURLToPath(import.meta.url), 'one.mp4');
  await expect(spoolToFile(source, beneathAFile)).rejects.toMatchObject({ type: 'StoreUnavailable', retryable: true });
  expect(source.destroyed).toBe(true);
});

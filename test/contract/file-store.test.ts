import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openStore } from '../../src/storage/open-store.js';
import { describeAssetStore } from './asset-store.js';

describeAssetStore(
  'FileStore',
  async () => {
    const path = await mkdtemp(join(tmpdir(), 'wan-video-store-'));
    onTestFinished(() => rm(path, { recursive: true, force: true }));
    const location = { kind: 'file', path: join(path, 'made', 'by-the-first-put') } as const;
    return { store: openStore(location), location };
  },
  { manyKeys: 50, keepsChecksum: false },
);

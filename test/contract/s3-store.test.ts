import { afterAll, beforeAll, describe, test } from 'vitest';
import { S3Store } from '../../src/storage/s3-store.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.js';
import { describeAssetStore } from './asset-store.js';

const missing = process.env['REQUIRE_PARTS'] === '1' ? undefined : s3ServerMissing();
if (missing !== undefined) {
  console.warn(`skipped: ${missing}`);
  test.skip(missing, () => undefined);
}

describe.skipIf(missing !== undefined)('with a real S3 server', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3Server();
  }, COMPILE_TIMEOUT_MS); // with REQUIRE_PARTS=1 it may have to be built first
  afterAll(() => server?.close());

  describeAssetStore(
    'S3Store',
    async () => {
      const location = { kind: 's3', bucket: await server.newBucket(), prefix: 'some/prefix' } as const;
      return { store: new S3Store({ ...location, client: server.client }), location, env: server.env };
    },
    { manyKeys: 1_005, keepsChecksum: true },
  );
});

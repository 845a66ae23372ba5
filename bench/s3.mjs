// A real S3 server whose every answer takes some milliseconds longer, as one in another building does.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort } from '../dist/src/dev/temporal-server.js';

/** Installed by scripts/parts/versitygw.sh. */
function findVersitygw() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const file = process.env.VERSITYGW ?? join(cache, 'wan-video-temporal', 'versitygw-v1.8.0', 'versitygw');
  if (!existsSync(file)) throw new Error('the S3 part needs versitygw: run scripts/parts/versitygw.sh');
  return file;
}

/**
 * Starts the server with one bucket `videos`; `counter.requests` counts requests by their first lines. What is written
 * into the bucket's `folder` before it is requested is in the bucket.
 */
export async function startSlowS3(folder, latencyMs) {
  const [data, meta] = [join(folder, 's3-data'), join(folder, 's3-meta')];
  for (const one of [data, meta]) mkdirSync(one);
  const port = await freePort();
  const credentials = { accessKeyId: 'bench-access-key', secretAccessKey: 'bench-secret-key' };
  const child = spawn(findVersitygw(), ['--quiet', '--port', `127.0.0.1:${port}`, 'posix', '--sidecar', meta, data], {
    env: {
      ...process.env,
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    },
    stdio: 'ignore',
  });
  const counter = { requests: 0 };
  const front = createServer({ noDelay: true }, (socket) => {
    const onward = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('data', (chunk) => {
      if (/^(GET|PUT|HEAD|POST|DELETE) \//.test(chunk.subarray(0, 12).toString('latin1'))) counter.requests += 1;
      onward.write(chunk);
    });
    // In order: each chunk waits for the one before it.
    let last = Promise.resolve();
    onward.on('data', (chunk) => {
      const due = sleep(latencyMs);
      last = last.then(async () => {
        await due;
        socket.write(chunk);
      });
    });
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ]) {
      one.on('error', () => other.destroy());
      one.on('close', () => void last.then(() => other.destroy()));
    }
  });
  await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
  const endpoint = `http://127.0.0.1:${front.address().port}`;
  const client = new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true, maxAttempts: 20 });
  await client.send(new CreateBucketCommand({ Bucket: 'videos' }));
  client.destroy();
  const env = {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
  Object.assign(process.env, env); // this process stages the image, with the SDK's own reading of the environment
  return {
    counter,
    folder: join(data, 'videos'),
    location: { bucket: 'videos', endpoint, region: 'us-east-1', credentials },
    env: { ASSET_STORE: 's3://videos/', ...env },
    close() {
      front.close();
      child.kill('SIGKILL');
    },
  };
}

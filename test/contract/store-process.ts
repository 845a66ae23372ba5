// The other process of the store's contract test: node store-process.cjs stall|stream <location>
import { createHash } from 'node:crypto';
import { openStore, type StoreLocation } from '../../src/storage/open-store.js';

const MIB = 1024 * 1024;
const [, , task, location = ''] = process.argv;
const store = openStore(JSON.parse(location) as StoreLocation);

async function* chunks(bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes; at += 64 * 1024) yield Buffer.alloc(64 * 1024, at / (64 * 1024));
}

/** Puts 20 MiB of a body that never ends, says so, and waits to be killed. */
async function stall(): Promise<void> {
  const keepAlive = setInterval(() => undefined, 60_000);
  await store.put(
    'videos/killed.mp4',
    (async function* () {
      yield* chunks(20 * MIB);
      process.stdout.write('stalled\n');
      await new Promise(() => undefined);
    })(),
  );
  clearInterval(keepAlive);
}

/** Puts and gets 128 MiB and prints by how much the process grew meanwhile. */
async function stream(): Promise<void> {
  await store.put('warm.bin', chunks(MIB)); // loads what has to be loaded
  globalThis.gc?.();
  const before = process.memoryUsage.rss();
  let most = before;
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  let bytes = 0;
  const body = async function* () {
    for await (const chunk of chunks(128 * MIB)) {
      sent.update(chunk);
      most = Math.max(most, process.memoryUsage.rss());
      yield chunk;
    }
  };
  await store.put('large.bin', body(), { ifAbsent: true });
  for await (const chunk of (await store.get('large.bin')) as AsyncIterable<Uint8Array>) {
    received.update(chunk);
    bytes += chunk.length;
    most = Math.max(most, process.memoryUsage.rss());
  }
  const same = sent.digest('hex') === received.digest('hex');
  process.stdout.write(JSON.stringify({ bytes, same, grownMib: Math.round((most - before) / MIB) }));
}

void (task === 'stall' ? stall() : stream());

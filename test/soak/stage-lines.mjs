// Validates and stages a manifest of many lines, as `batch start` does before it starts anything: node stage-lines.mjs
// DIST FOLDER LINES. Reports the time it took and by how much its memory grew from a tenth of the lines to all of them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, folder, count] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(join(dist, 'src', file)).href);
const [{ imagesInFolder, openManifest }, { prepareManifest }, { FileStore }] = await Promise.all(
  ['client/manifest-source.js', 'batch/prepare-manifest.js', 'storage/file-store.js'].map(load),
);
/** Images that the lines share among them; each is read once. */
const IMAGES = 100;
mkdirSync(folder, { recursive: true });
for (let n = 0; n < IMAGES; n += 1) writeFileSync(join(folder, `${n}.bmp`), bitmap(n));

async function stage(lines) {
  const file = join(folder, `${lines}.jsonl`);
  const request = (n) => ({ item_id: `item-${n}`, prompt: `line ${n} of many`, reference_image: `${n % IMAGES}.bmp` });
  const text = Array.from({ length: lines }, (_, n) =>
    JSON.stringify({ ...request(n), duration: 2, fps: 30, size: '1280*720' }),
  );
  writeFileSync(file, `${text.join('\n')}\n`);
  text.length = 0;
  const store = new FileStore(join(folder, `store-${lines}`));
  globalThis.gc?.();
  let peak = process.memoryUsage().rss;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 20);
  const startedMs = performance.now();
  const prepared = await prepareManifest(() => openManifest({ file }), {
    name: file,
    allowInvalid: false,
    signal: undefined,
    images: imagesInFolder(folder, store, undefined),
  });
  await prepared.put(store, 'manifest.jsonl');
  const ms = performance.now() - startedMs;
  clearInterval(timer);
  await prepared.dispose();
  return { items: prepared.items, ms, peak };
}

await stage(Math.ceil(Number(count) / 100)); // compiled
const few = await stage(Math.ceil(Number(count) / 10));
const all = await stage(Number(count));
process.stdout.write(`${JSON.stringify({ items: all.items, ms: all.ms, growth: Math.max(0, all.peak - few.peak) })}\n`);

/** A 24-bit BMP of one grey, 320 pixels wide and high. */
function bitmap(grey) {
  const [side, head] = [320, Buffer.alloc(54)];
  head.write('BM', 0, 'latin1');
  head.writeUInt32LE(54 + side * side * 3, 2);
  head.writeUInt32LE(54, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(side, 18);
  head.writeInt32LE(side, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(24, 28);
  return Buffer.concat([head, Buffer.alloc(side * side * 3, grey)]);
}

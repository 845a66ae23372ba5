import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { box, fullBox, patchBox, u32, u64, writeMp4 } from './mp4-writer.js';

const MANY = 100_000_000;
const deep = (levels: number): Buffer =>
  Buffer.concat(
    Array.from({ length: levels }, (_, level) => Buffer.concat([u32((levels - level) * 8), Buffer.from('trak')])),
  );
const indexed = (...parts: Buffer[]): Buffer => Buffer.concat([writeMp4().subarray(0, 32), box('moov', ...parts)]);
const shifts = Array.from({ length: 60 }, (_, index) => (index % 3) * 512);

/** Files that a task's link leads to: damaged, cut, and made to cost the one that measures them time or memory. */
export const HOSTILE_RESULTS: Readonly<Record<string, Buffer>> = {
  'a file that is cut to its first frames': writeMp4({ layout: 'open', frameBytes: 48 }).subarray(0, -2_500),
  'a flipped byte in the reordering': patchBox(writeMp4({ shifts }), 'ctts', 16, u32(0x01000001)),
  'a fragment of 100 million frames': patchBox(writeMp4({ layout: 'fragments' }), 'trun', 8, u32(0, MANY)),
  '100 million frames of one size': patchBox(writeMp4({ frameBytes: 48 }), 'stsz', 16, u32(MANY)),
  '4 billion frames in a chunk': patchBox(writeMp4(), 'stsc', 20, u32(0xffffffff)),
  'a run of 4 billion frames': patchBox(writeMp4(), 'stts', 16, u32(0xffffffff)),
  '4 billion edits': patchBox(writeMp4({ edits: [{ duration: 1300, mediaTime: 0 }] }), 'elst', 12, u32(0xffffffff)),
  'a chunk beyond 2^52': patchBox(writeMp4({ layout: 'large' }), 'co64', 16, u64(2 ** 52)),
  'boxes in boxes, 20,000 deep': indexed(deep(20_000)),
  '5000 empty boxes in its index': indexed(...Array<Buffer>(5_000).fill(box('free'))),
  'a hundred tracks': indexed(fullBox('mvhd', 0, 0, Buffer.alloc(96, 1)), ...Array<Buffer>(100).fill(box('trak'))),
  'a segment that is lacking': writeMp4({ layout: 'fragments', segmentIndex: true }).subarray(0, -700),
  '8 million seconds': writeMp4({ delta: 2_048_000_000 }),
  '20,000 frames in another order': writeMp4({
    frames: 20_000,
    delta: 128,
    shifts: Array.from({ length: 20_000 }, (_, n) => (n % 3) * 128),
  }),
};
/** What is no file of the task at all; its own comes after it. */
export const PAGE_INSTEAD = 'a page instead of a file';
const FILES: Readonly<Record<string, Buffer>> = {
  ...HOSTILE_RESULTS,
  [PAGE_INSTEAD]: Buffer.from('<html>Welcome</html>'.repeat(10_000)),
};

/** Serves files, by default the hostile ones; the address of each by its name. */
export async function serveResults(
  files: Readonly<Record<string, Buffer>> = FILES,
): Promise<{ urlOf(name: string): string; close(): void }> {
  const names = Object.keys(files);
  const server = createServer(({ url }, response) => {
    const name = names[Number(/^\/(\d+)\.mp4$/.exec(url ?? '')?.[1])];
    const file = name === undefined ? undefined : files[name];
    if (file === undefined) return response.writeHead(404).end();
    return response.writeHead(200, { 'content-type': 'video/mp4', 'content-length': file.length }).end(file);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    urlOf: (name) => `http://127.0.0.1:${port}/${names.indexOf(name)}.mp4`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type InspectedMp4, measureMp4File } from '../../src/media/mp4-measure.js';
import { box, fullBox, patchBox, u16, u32, u64, writeMp4 } from '../support/mp4-writer.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mp4-hostile-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function inspect(bytes: Buffer): Promise<InspectedMp4> {
  const file = join(folder, 'video.mp4');
  await writeFile(file, bytes);
  return measureMp4File(file);
}

const reordered = Array.from({ length: 60 }, (_, index) => (index % 3 === 1 ? 1024 : index % 3 === 2 ? 0 : 512));
const early = reordered.map((shift) => shift - 512);
const VERIFIED = { frames: 60, fps: 30, durationSeconds: 2, width: 640, height: 360, codec: 'avc', hasAudio: false };

test.each([
  ['its index first', writeMp4(), {}],
  ['its index last', writeMp4({ layout: 'last' }), {}],
  ['a media part to the end of the file', writeMp4({ layout: 'open' }), {}],
  ['64-bit sizes and offsets', writeMp4({ layout: 'large' }), {}],
  ['frames of one size', writeMp4({ frameBytes: 48 }), {}],
  ['sound', writeMp4({ sound: 87 }), { hasAudio: true }],
  ['sound that lasts longer', writeMp4({ sound: 200 }), { hasAudio: true }],
  [
    'frames in another order, and an edit list for it',
    writeMp4({ shifts: reordered, edits: [{ duration: 2000, mediaTime: 512 }] }),
    {},
  ],
  ['frames that are shown before they are decoded', writeMp4({ shifts: early, shiftVersion: 1 }), {}],
  [
    'an edit list that trims',
    writeMp4({ edits: [{ duration: 1300, mediaTime: 0.7 * 15_360 }] }),
    { durationSeconds: 1.3 },
  ],
  [
    'an edit list that delays',
    writeMp4({
      edits: [
        { duration: 1000, mediaTime: -1 },
        { duration: 2000, mediaTime: 0 },
      ],
    }),
    {},
  ],
  [
    'an edit list that leaves out its middle',
    writeMp4({
      edits: [
        { duration: 500, mediaTime: 0 },
        { duration: 500, mediaTime: 1.5 * 15_360 },
      ],
    }),
    { durationSeconds: 1 },
  ],
  ['fragments', writeMp4({ layout: 'fragments' }), {}],
  ['fragments and a segment index', writeMp4({ layout: 'fragments', segmentIndex: true }), {}],
  ['fragments in another order', writeMp4({ layout: 'fragments', shifts: early, shiftVersion: 1 }), {}],
  ['its first fragment in the index', writeMp4({ layout: 'partial' }), {}],
  [
    'its first fragment in the index, and an edit list for that',
    writeMp4({ layout: 'partial', edits: [{ duration: 500, mediaTime: 0 }] }),
    {},
  ],
])('a file with %s is verified, with its own figures', async (_, bytes, figures) => {
  expect(await inspect(bytes)).toEqual({ measured: { ...VERIFIED, ...figures }, fault: undefined, isDamaged: false });
});

/** The file up to the middle of the frame after this many. */
const cutAfter = (bytes: Buffer, frames: number) =>
  bytes.subarray(0, bytes.indexOf('mdat') + 4 + frames * FRAME_BYTES + 10);
const FRAME_BYTES = 48;

test.each([
  [
    'whose end is missing',
    cutAfter(writeMp4({ layout: 'open', frameBytes: FRAME_BYTES }), 5),
    'is cut off: frame 6 of 60 is not there',
  ],
  [
    'whose last byte is missing',
    writeMp4({ layout: 'open' }).subarray(0, -1),
    'is cut off: frame 60 of 60 is not there',
  ],
  [
    'whose sound ends early',
    writeMp4({ sound: 87, layout: 'open' }).subarray(0, -10),
    'piece 87 of 87 of its sound is not there',
  ],
  [
    'whose named media part is cut',
    cutAfter(writeMp4({ frameBytes: FRAME_BYTES }), 29),
    'is cut off: frame 30 of 60 is not there',
  ],
  ['with a byte behind it', Buffer.concat([writeMp4(), u16(7)]), 'has 2 bytes after its "mdat" part'],
  ['whose fragment is cut', writeMp4({ layout: 'fragments' }).subarray(0, -1), 'frame 60 of 60 is not there'],
  [
    'that lacks a fragment',
    withoutFragment(writeMp4({ layout: 'fragments' }), 1),
    'has a gap of 0.50 s in its pictures at 0.50 s',
  ],
  [
    'that lacks the last fragment that its segment index names',
    withoutFragment(writeMp4({ layout: 'fragments', segmentIndex: true }), 3),
    'is cut off: its segment index names',
  ],
  [
    'of 4 billion edits',
    patchBox(writeMp4({ edits: [{ duration: 1300, mediaTime: 0 }] }), 'elst', 12, u32(0xffffffff)),
    '"elst" table claims 4294967295 entries',
  ],
  [
    'whose movie has another time scale than its edit list was made for',
    patchBox(writeMp4({ edits: [{ duration: 1300, mediaTime: 10_752 }] }), 'mvhd', 20, u32(1000 ^ 0x400)),
    'shows 0.642292 s of 2 s of pictures',
  ],
  ['whose movie has no time scale', patchBox(writeMp4(), 'mvhd', 20, u32(0)), 'a time scale of 0'],
  ['in HEVC', writeMp4({ codec: 'hvc1' }), 'has a video track in hevc instead of H.264'],
  ['in AV1', writeMp4({ codec: 'av01' }), 'has a video track in av1 instead of H.264'],
  ['in a codec that nobody knows', writeMp4({ codec: 'xvid' }), 'in an unknown codec (xvid)'],
  ['in QuickTime', writeMp4({ brand: 'qt' }), 'is a QuickTime file'],
  ['of 8 million seconds', writeMp4({ delta: 2_048_000_000 }), 'claims to last 8000000 s'],
  ['of 0.0009 frames per second', writeMp4({ frames: 1, delta: 17_066_666 }), 'claims to last 1111'],
  ['of 0.1 frames per second', writeMp4({ frames: 5, delta: 153_600 }), 'claims 0.1 frames per second'],
  ['of 15360 frames per second', writeMp4({ delta: 1 }), 'claims 15360 frames per second'],
  ['of one pixel', writeMp4({ width: 1 }), 'claims a picture of 1x360'],
  ['of 65535 pixels', writeMp4({ width: 65_535 }), 'claims a picture of 65535x360'],
  [
    'whose movie is said to be longer',
    writeMp4({ movieSeconds: 20 }),
    'the movie should last 20.00 s and lasts 2.00 s',
  ],
  [
    'whose track is said to be longer',
    writeMp4({ mediaSeconds: 3 }),
    'its pictures should last 3.00 s and lasts 2.00 s',
  ],
  [
    'whose edits are longer than it',
    writeMp4({ edits: [{ duration: 9000, mediaTime: 0 }] }),
    'should last 9.00 s and lasts 2.00 s',
  ],
  [
    'whose edits show nothing',
    writeMp4({ edits: [{ duration: 1000, mediaTime: 99_999_999 }] }),
    'shows none of its pictures',
  ],
  ['with a second index', Buffer.concat([writeMp4(), writeMp4()]), 'has a second index'],
  ['with a part shorter than its header', patchBox(writeMp4(), 'mdat', 0, u32(7)), 'has a damaged "mdat" part'],
  [
    'with a reordering for too many frames',
    patchBox(writeMp4({ shifts: reordered }), 'ctts', 12, u32(0x0100003c)),
    '"ctts" table claims',
  ],
  [
    'with one flipped bit in its reordering',
    patchBox(writeMp4({ shifts: reordered }), 'ctts', 16, u32(0x01000001)),
    '"ctts" table is for 16777276',
  ],
  [
    'whose sizes and times differ',
    patchBox(writeMp4(), 'stts', 16, u32(61)),
    'frames are 60 by size, 61 by time, 60 by place',
  ],
  [
    'whose damaged track is its sound',
    patchBox(writeMp4({ sound: 87 }), 'mp4a', -16, u32(0)),
    'damaged index: a part of its',
  ],
])('a video %s is kept with the reason', async (_, bytes, fault) => {
  const inspected = await inspect(bytes);
  expect(inspected.fault).toContain(fault);
  expect(inspected.measured.frames).toBeGreaterThan(0);
});

/** The file without its fragment of this number, counted from 0. */
function withoutFragment(file: Buffer, number: number): Buffer {
  const starts = [...file.toString('latin1').matchAll(/moof/g)].map(({ index }) => index - 4);
  return Buffer.concat([file.subarray(0, starts[number]), file.subarray(starts[number + 1] ?? file.length)]);
}

const HUNDRED_MILLION = 100_000_000;
const deep = (levels: number) =>
  Buffer.concat(
    Array.from({ length: levels }, (_, level) => Buffer.concat([u32((levels - level) * 8), Buffer.from('trak')])),
  );
const index = (...parts: Buffer[]) => Buffer.concat([writeMp4().subarray(0, 32), box('moov', ...parts)]);

test.each<[string, Buffer, string, true?]>([
  [
    'a fragment of 100 million frames of one size',
    patchBox(writeMp4({ layout: 'fragments' }), 'trun', 8, u32(0, HUNDRED_MILLION)),
    'claims 100000000',
  ],
  [
    '100 million frames of one size',
    patchBox(writeMp4({ frameBytes: 48 }), 'stsz', 16, u32(HUNDRED_MILLION)),
    'claims 100000000 frames',
  ],
  [
    '100 million frames of no size',
    patchBox(writeMp4({ frameBytes: 48 }), 'stsz', 12, u32(0, HUNDRED_MILLION)),
    '"stsz" table claims 100000000',
  ],
  ['4 billion runs of durations', patchBox(writeMp4(), 'stts', 12, u32(0xffffffff)), '"stts" table claims 4294967295'],
  ['a run of 4 billion frames', patchBox(writeMp4(), 'stts', 16, u32(0xffffffff)), 'claims 4294967295 frames'],
  ['4 billion frames in a chunk', patchBox(writeMp4(), 'stsc', 20, u32(0xffffffff)), 'claims 4294967295 frames'],
  ['4 billion chunks', patchBox(writeMp4(), 'stco', 12, u32(0xffffffff)), '"stco" table claims 4294967295'],
  [
    'a chunk of 64 bits beyond the file',
    patchBox(writeMp4({ layout: 'large' }), 'co64', 16, u64(2 ** 52)),
    'frame 1 of 60 is not there',
  ],
  [
    'frames before its beginning',
    patchBox(writeMp4({ layout: 'fragments' }), 'trun', 16, u32(1 << 31)),
    'is not there',
  ],
  ['no frames', writeMp4({ frames: 0 }), 'has no frames'],
  ['frames of no duration', writeMp4({ delta: 0 }), 'has 60 frames in 0 s'],
  ['a picture of no size', writeMp4({ width: 0 }), 'a picture of 0x360'],
  ['a time scale of 0', patchBox(writeMp4(), 'mdhd', 20, u32(0)), 'a time scale of 0'],
  ['boxes in boxes, 20,000 deep', index(deep(20_000)), 'has no video track'],
  ['a box of no size in its index', patchBox(writeMp4(), 'trak', 0, u32(0)), 'a part of its "moov"'],
  ['a box that overlaps the next one', patchBox(writeMp4(), 'mdhd', 0, u32(0x7fffffff)), 'a part of its "mdia"'],
  ['a box with a size of 64 bits', patchBox(writeMp4(), 'mdhd', 0, u32(1)), 'damaged index'],
  ['5000 empty boxes in its index', index(...Array<Buffer>(5000).fill(box('free'))), 'more than 1024 parts', true],
  [
    'a hundred tracks',
    index(fullBox('mvhd', 0, 0, Buffer.alloc(96, 1)), ...Array<Buffer>(100).fill(box('trak'))),
    'has 100 tracks',
    true,
  ],
])('%s: no video, or beyond our limits, found at once and in little memory', async (_, bytes, fault, isOurs) => {
  const before = process.memoryUsage();
  const startedAt = performance.now();
  const error = await inspect(bytes).then(
    (inspected) => expect.fail(`it was taken as ${JSON.stringify(inspected)}`),
    (thrown: unknown) => thrown,
  );
  const name = isOurs === true ? 'Mp4Limit' : 'Mp4Fault';
  expect(error).toMatchObject({ name, message: expect.stringContaining(fault) });
  expect(performance.now() - startedAt).toBeLessThan(1000);
  const after = process.memoryUsage();
  expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(32 * 1024 * 1024);
});

test('frames that share their bytes are read once, not once for each', async () => {
  // One chunk for each frame, and all of them at the same place: the whole of the media part.
  const frames = 20_000;
  const clip = writeMp4({ frames, frameBytes: 48 });
  const chunks = box('stco', u32(0, frames), u32(...Array<number>(frames).fill(clip.indexOf('mdat') + 4)));
  const shared = patchBox(patchBox(clip, 'stsz', 12, u32(900_000)), 'stsc', 20, u32(1));
  const moov = shared.subarray(clip.indexOf('moov') - 4, clip.indexOf('mdat') - 4);
  // The longer table goes to the end of the containers, whose lengths grow with it.
  const grown = Buffer.concat([moov.subarray(0, moov.indexOf('stco') - 4), chunks]);
  for (const name of ['moov', 'trak', 'mdia', 'minf', 'stbl']) {
    const at = grown.indexOf(name) - 4;
    grown.writeUInt32BE(grown.length - at, at);
  }
  const media = shared.subarray(clip.indexOf('mdat') - 4);
  const startedAt = performance.now();
  const file = Buffer.concat([clip.subarray(0, clip.indexOf('moov') - 4), media, grown]);
  const offset = clip.indexOf('moov') + 4;
  for (let chunk = 0; chunk < frames; chunk++) file.writeUInt32BE(offset, file.lastIndexOf('stco') + 12 + chunk * 4);
  expect((await inspect(file)).fault).toBe(`claims 18000000000 bytes of frames in a file of ${file.length}`);
  expect(performance.now() - startedAt).toBeLessThan(2000);
});

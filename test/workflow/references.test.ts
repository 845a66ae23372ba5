import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { MODEL } from '../../src/contract/model.js';
import { DashScopeClient } from '../../src/dashscope/client.js';
import { ALL_LEDGERS } from '../../src/ledger/paths.js';
import { type Certificates, makeCertificates } from '../support/certificates.js';
import { activitiesOf } from '../support/history.js';
import { differenceOf, pipelineOf, storedWith, testPicture } from '../support/pictures.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { ROOT, type Stack, startStack, TEST_KEY } from '../support/stack.js';
import { startHttpsFront, type TlsFront } from '../support/tls-front.js';

let stack: Stack;
let images: Server;
let base = '';
let certificates: Certificates;
let front: TlsFront;
let sample: Buffer;
/** A phone's portrait: stored lying, with an owner. */
let lying: Buffer;
/** The same picture upright. */
const portrait = testPicture(480, 640);
beforeAll(async () => {
  sample = await readFile(join(ROOT, 'assets', 'sample.jpg'));
  const stored = pipelineOf(storedWith(6, portrait)).jpeg({ quality: 95 });
  lying = await stored
    .withExif({ IFD0: { Artist: 'Ann Owner' } })
    .withMetadata({ orientation: 6 })
    .toBuffer();
  images = createServer((request, response) => {
    const answers: Record<string, () => void> = {
      '/boat.jpg': () => response.end(sample),
      '/lying.jpg': () => response.end(lying),
      '/page.jpg': () => response.end('<!doctype html><title>not an image</title>'),
      '/cut.jpg': () => response.end(sample.subarray(0, 2_000)),
      '/gone.jpg': () => response.writeHead(404).end(),
      '/away.jpg': () => response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end(),
      '/endless.jpg': () => {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536, 0xff)));
        };
        response.on('drain', more);
        more();
      },
    };
    answers[(request.url ?? '').replace(/\?.*/, '')]?.();
  });
  await new Promise<void>((done) => images.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(images.address() as AddressInfo).port}`;
  certificates = await makeCertificates(['localhost']);
  setDefaultCACertificates([...getCACertificates('default'), certificates.authority]);
  front = await startHttpsFront(base, certificates);
  stack = await startStack({
    settings: { speed: 100 },
    env: { WAN_VIDEO_ALLOW_PRIVATE_URLS: '127.0.0.1' },
    times: QUICK_LEDGER,
  });
});
afterAll(async () => {
  await stack?.close();
  await front?.close();
  await certificates?.close();
  images?.closeAllConnections();
  images?.close();
});

let submits = 0;
beforeEach(() => {
  submits = stack.emulator.state().submits;
});
const start = (reference_image: string) =>
  stack.videos.start({ ...stack.request(`a boat ${randomUUID()}`), reference_image });

/** What was sent instead of the photo that is stored lying: the only image in the store that is not the sample. */
async function sentImage(): Promise<Buffer> {
  for await (const { key } of stack.store.list('references/')) {
    if (`asset:${key}` !== stack.image) return Buffer.concat(await (await stack.store.get(key)).toArray());
  }
  throw new Error('no other image is in the store');
}

describe('an image is taken', () => {
  test('from an http address, and is the same as when it is staged', async () => {
    const request = stack.request(`a boat ${randomUUID()}`);
    const staged = await stack.videos.generate(request);
    const fetched = await stack.videos.generate({ ...request, reference_image: `${base}/boat.jpg` });
    const usage = { ...staged.usage, billed_seconds: 0, original_billed_seconds: staged.usage.billed_seconds };
    expect(fetched).toEqual({ ...staged, source: 'cache', usage });
  });

  test('from a data: URI', async () => {
    const { id } = await start(`data:image/jpeg;base64,${sample.toString('base64')}`);
    expect(await stack.videos.result(id)).toMatchObject({ source: 'generated', width: 1280 });
  });

  test('of a photo that is stored lying upright and without its owner; a lost reply makes one purchase', async () => {
    const request = { ...stack.request(`a lake ${randomUUID()}`), reference_image: `${base}/lying.jpg` };
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: request.prompt });
    const result = await stack.videos.generate(request);
    expect(result).toMatchObject({ source: 'generated' });
    expect(result.height).toBeGreaterThan(result.width);
    expect(result.warnings.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['reference_rotated', 'reference_stripped']),
    );
    expect(stack.emulator.state().submits).toBe(submits + 1);
    const sent = await sentImage();
    expect(sent.includes('Ann')).toBe(false);
    const { width, height, orientation } = await sharp(sent).metadata();
    expect({ width, height, orientation }).toEqual({ width: 480, height: 640, orientation: undefined });
    const decoded = { ...portrait, data: await sharp(sent).raw().toBuffer() };
    expect(differenceOf(decoded, portrait)).toBeLessThan(4);
    // The same file is the same video, also as a staged one, and is refused where nothing may be done to it.
    const again = await stack.videos.generate({
      ...request,
      reference_image: `data:image/jpeg;base64,${lying.toString('base64')}`,
    });
    expect(again).toMatchObject({ source: 'cache', task_id: result.task_id });
    const { id } = await stack.videos.start({ ...request, reference_fit: 'strict' });
    await expect(stack.videos.result(id)).rejects.toMatchObject({
      error: {
        type: 'ReferenceRejected',
        message: expect.stringMatching(/would be turned upright.*; it would be strip/),
      },
    });
    expect(stack.emulator.state().submits).toBe(submits + 1);
  });

  test('from an oss:// address, which is handed on unread, and the result says so', async () => {
    const provider = new DashScopeClient({ baseUrl: stack.emulator.baseUrl, apiKey: () => TEST_KEY });
    const policy = await provider.getUploadPolicy(MODEL);
    const address = await provider.uploadFile(policy, {
      name: 'boat.jpg',
      contentType: 'image/jpeg',
      size: sample.length,
      body: Readable.from([sample]),
    });
    await provider.close();
    const { id } = await start(address);
    const result = await stack.videos.result(id);
    expect(result.warnings.map(({ code }) => code)).toContain('reference_not_inspected');
    const task = stack.emulator.state().tasks.find(({ task_id }) => task_id === result.task_id);
    expect(task?.input['img_url']).toBe(address);
  });

  test('as it is from an https address: it is checked, handed over with its query, and recorded without it', async () => {
    const address = `https://127.0.0.1:${front.port}/boat.jpg`;
    const request = { ...stack.request(`a boat ${randomUUID()}`), reference_image: `${address}?signature=secret` };
    const uploaded = await stack.videos.generate(request);
    const { uploads } = stack.emulator.state();
    const result = await stack.videos.generate({ ...request, reference_upload: 'as_is' });
    expect(result).toMatchObject({ source: 'generated' });
    expect(result.task_id).not.toBe(uploaded.task_id);
    expect(result.warnings.map(({ code }) => code)).toContain('reference_not_pinned');
    const task = stack.emulator.state().tasks.find(({ task_id }) => task_id === result.task_id);
    expect(task?.input['img_url']).toBe(`${address}?signature=secret`);
    expect(stack.emulator.state().uploads).toEqual(uploads);
    const intents: string[] = [];
    for await (const { key } of stack.store.list(ALL_LEDGERS)) {
      if (key.endsWith('/intent.json')) intents.push(await text(await stack.store.get(key)));
    }
    expect(intents.filter((intent) => intent.includes(`"${address}"`))).toHaveLength(1);
    expect(intents.join('')).not.toContain('signature');
    // Another signature of the same address is the same image.
    const again = { ...request, reference_image: `${address}?signature=other`, reference_upload: 'as_is' as const };
    expect(await stack.videos.generate(again)).toMatchObject({ source: 'cache', task_id: result.task_id });
  });
});

test('an image that is handed over as it is must be there and public: the field is named, and nothing is bought', async () => {
  const request = { ...stack.request(`a boat ${randomUUID()}`), reference_upload: 'as_is' as const };
  await expect(stack.videos.start({ ...request, reference_image: `${base}/boat.jpg` })).rejects.toMatchObject({
    type: 'InvalidRequest',
    issues: [{ path: 'reference_upload' }],
  });
  for (const reference_image of [`https://127.0.0.1:${front.port}/gone.jpg`, 'https://10.0.0.1/boat.jpg']) {
    const { id } = await stack.videos.start({ ...request, reference_image });
    const error = await stack.videos.result(id).catch((e: unknown) => e);
    expect(error).toMatchObject({ error: { billed: false } });
    expect(JSON.stringify(error)).toContain('reference_upload');
  }
  expect(stack.emulator.state().submits).toBe(submits);
});

test.each([
  ['/page.jpg', 'ReferenceRejected', /HTML/i],
  ['/cut.jpg', 'ReferenceRejected', /damaged|truncated|cut/i],
  ['/endless.jpg', 'ReferenceRejected', /20/],
  ['/gone.jpg', 'ReferenceUnreachable', /404/],
  ['/away.jpg', 'ReferenceRejected', /169\.254\.169\.254/],
])(
  'an address that gives %s ends the run at once as %s; nothing is bought and nothing is left',
  async (path, type, why) => {
    const { id } = await start(`${base}${path}`);
    const error = await stack.videos.result(id).catch((e: unknown) => e);
    expect(error).toMatchObject({ error: { type, billed: false } });
    const { message, issues } = (error as { error: { message: string; issues?: unknown } }).error;
    expect(message + JSON.stringify(issues)).toMatch(why);
    expect(await activitiesOf(stack.client, id)).toEqual(['prepareRequest']);
    expect(stack.emulator.state().submits).toBe(submits);
  },
);

test('an address of this machine that is not allowed is refused by name', async () => {
  const { id } = await start(`${base.replace('127.0.0.1', '127.0.0.2')}/boat.jpg`);
  const error = await stack.videos.result(id).catch((e: unknown) => e);
  expect(error).toMatchObject({ error: { type: 'ReferenceRejected' } });
  expect(stack.emulator.state().submits).toBe(submits);
});

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultPayloadConverter, type PayloadCodec } from '@temporalio/common';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dataConverterOf, loadPayloadCodec } from '../../src/client/payload-codec.js';
import { passUndecodable } from '../../src/worker/undecodable-payloads.js';
import { command } from '../support/command.js';
import { ROOT } from '../support/root.js';

const EXAMPLE = './docs/examples/encrypting-codec.mjs';
let folder: string;
let n = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-codec-'));
  await writeFile(join(folder, 'codec.key'), randomBytes(32).toString('base64'));
  process.env['WAN_VIDEO_CODEC_KEYS'] = join(folder, 'codec.key');
});
afterAll(async () => {
  delete process.env['WAN_VIDEO_CODEC_KEYS'];
  await rm(folder, { recursive: true, force: true });
});

const moduleOf = async (text: string, extension = 'mjs'): Promise<string> => {
  const name = `./codec-${n++}.${extension}`;
  await writeFile(join(folder, name), text);
  return name;
};
const payload = (value: unknown) => defaultPayloadConverter.toPayload(value)!;
const PASS = '{ encode: async (p) => p, decode: async (p) => p }';

test('the documented codec encrypts: the text is nowhere in what it makes, and comes back', async () => {
  const codec = await loadPayloadCodec(EXAMPLE, ROOT);
  const [sealed] = await codec.encode([payload({ prompt: 'a secret boat' })]);
  expect(Buffer.from(sealed!.data!).toString('latin1')).not.toContain('boat');
  const [again] = await codec.encode([payload({ prompt: 'a secret boat' })]);
  expect(again!.data).not.toEqual(sealed!.data); // equal texts cannot be recognised as equal
  const [opened] = await codec.decode([sealed!]);
  expect(defaultPayloadConverter.fromPayload(opened!)).toEqual({ prompt: 'a secret boat' });
});

test('the documented codec reads plain payloads, and refuses one that was changed on the way', async () => {
  const codec = await loadPayloadCodec(EXAMPLE, ROOT);
  expect(await codec.decode([payload('plain')])).toEqual([payload('plain')]);
  const [sealed] = await codec.encode([payload('text')]);
  sealed!.data![20]! ^= 1;
  await expect(codec.decode([sealed!])).rejects.toMatchObject({
    type: 'ConfigurationInvalid',
    message: expect.stringMatching(/^The payload codec .*encrypting-codec\.mjs cannot decode: /),
  });
});

test('the documented codec marks what fails under its key, and no key that another worker may have', async () => {
  const writer = await loadPayloadCodec(EXAMPLE, ROOT);
  const worker = passUndecodable(writer);
  const [sealed, short, foreign] = await writer.encode(['one', 'two', 'three'].map(payload));
  sealed!.data![20]! ^= 1;
  short!.data = new Uint8Array([1]);
  for (const damaged of [sealed, short]) {
    const [passed] = await worker.decode([damaged!]);
    expect(() => defaultPayloadConverter.fromPayload(passed!)).toThrow('not encrypted with its key');
  }
  foreign!.metadata!['encryption-key-id'] = Buffer.from('0badc0de');
  await expect(worker.decode([foreign!])).rejects.toThrow('the key 0badc0de is none of');
});

test.each([
  ['a named export of a path', `export const payloadCodec = ${PASS};`, 'mjs'],
  ['a default export', `export default ${PASS};`, 'mjs'],
  ['a CommonJS module', `exports.payloadCodec = ${PASS};`, 'cjs'],
])('a codec is taken from %s', async (_what, text, extension) => {
  const codec = await loadPayloadCodec(await moduleOf(text, extension), folder);
  expect(await codec.encode([payload(1)])).toEqual([payload(1)]);
});

test.each([
  ['that is not there', undefined, 'cannot be found'],
  ['without a codec', 'export const other = 1;', 'exports no codec: export "payloadCodec"'],
  ['with half a codec', 'export const payloadCodec = { encode() {} };', 'exports no codec'],
  ['that throws', 'throw new Error("no key in the vault");', 'cannot be loaded: no key in the vault'],
  ['that is no JavaScript', 'export const {', 'cannot be loaded'],
  [
    'that loses what it encodes',
    'export const payloadCodec = { encode: async (p) => p, decode: async () => [] };',
    'does not decode what it has encoded',
  ],
])('a module %s is refused, by the variable and the fault', async (_what, text, fault) => {
  const specifier = text === undefined ? './nowhere.mjs' : await moduleOf(text);
  await expect(loadPayloadCodec(specifier, folder)).rejects.toMatchObject({
    type: 'ConfigurationInvalid',
    message: expect.stringContaining(`The payload codec ${specifier} ${fault}`),
    issues: [{ path: 'WAN_VIDEO_PAYLOAD_CODEC', message: expect.stringContaining(fault) }],
    nextStep: expect.stringContaining('WAN_VIDEO_PAYLOAD_CODEC'),
  });
});

test('a codec that cannot encode is refused at once, with its own words', async () => {
  const specifier = await moduleOf(
    'export const payloadCodec = { encode: async () => { throw new Error("sealed vault"); }, decode() {} };',
  );
  await expect(loadPayloadCodec(specifier, folder)).rejects.toMatchObject({
    message: `The payload codec ${specifier} cannot encode: sealed vault`,
  });
});

test('the command refuses a codec that is not there before it connects to anything', async () => {
  const env = { TEMPORAL_ADDRESS: '127.0.0.1:1', WAN_VIDEO_PAYLOAD_CODEC: 'no-such-codec' };
  const { code, stdout } = await command(['list', '--json'], { env, cwd: folder });
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({
    error: {
      type: 'ConfigurationInvalid',
      message: expect.stringContaining('The payload codec no-such-codec cannot be found'),
    },
  });
});

test('without a codec, what another one has encoded is refused by the setting that is missing', async () => {
  const codec = await loadPayloadCodec(EXAMPLE, ROOT);
  const [plain] = dataConverterOf({ namespace: 'default', connection: {} }).payloadCodecs as [PayloadCodec];
  await expect(plain.decode(await codec.encode([payload('text')]))).rejects.toMatchObject({
    type: 'ConfigurationInvalid',
    message: expect.stringContaining('"binary/encrypted"'),
    nextStep: expect.stringContaining('WAN_VIDEO_PAYLOAD_CODEC'),
  });
  const untouched = [undefined, null, 'text', { a: 1 }, new Uint8Array([1])].map(payload);
  expect(await plain.decode(untouched)).toEqual(untouched);
});

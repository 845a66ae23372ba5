import { defaultPayloadConverter, type Payload, type PayloadCodec } from '@temporalio/common';
import { expect, test } from 'vitest';
import { passUndecodable } from '../../src/worker/undecodable-payloads.js';

const payload = (value: unknown): Payload => defaultPayloadConverter.toPayload(value) as Payload;
const read = (one: Payload | undefined): unknown => defaultPayloadConverter.fromPayload(one as Payload);

const PERMANENT = { undecodable: true };

/** A worker's codec with some keys: a payload names the key that it was written with, and whether it is damaged. */
function codecWithKeys(...keys: string[]) {
  const fieldOf = ({ metadata }: Payload, name: string) => Buffer.from(metadata?.[name] ?? []).toString();
  const decodeOne = (sealed: Payload): Payload => {
    const key = fieldOf(sealed, 'key');
    if (!keys.includes(key)) throw new Error(`the key ${key} is unknown`);
    if (fieldOf(sealed, 'damaged') === '') return sealed;
    // As a codec module's errors are passed on, with the module's name.
    const cause = Object.assign(new Error('bad tag'), PERMANENT);
    throw new Error('a damaged \u001b[31mpayload', { cause });
  };
  return passUndecodable({
    encode: async (payloads) => payloads,
    decode: async (payloads) => payloads.map(decodeOne),
  });
}

const sealed = (value: unknown, key: string, damaged = ''): Payload => {
  const { metadata, data } = payload(value);
  return { metadata: { ...metadata, key: Buffer.from(key), damaged: Buffer.from(damaged) }, data } as Payload;
};

test('a payload that nobody will decode is passed on, unreadable, with the reason; those with it are decoded', async () => {
  const [good, damaged] = [sealed('ours', 'k1'), sealed('theirs', 'k1', 'yes')];
  const [first, second, last] = await codecWithKeys('k1').decode([good, damaged, good]);
  expect([read(first), read(last)]).toEqual(['ours', 'ours']);
  expect(() => read(second)).toThrow('Unknown encoding: undecodable: a damaged payload');
});

test('a payload with a key that this worker lacks fails the task, and is read by a worker that has the key', async () => {
  const [granted, damaged] = [sealed('a slot', 'new'), sealed('theirs', 'old', 'yes')];
  const refusal = 'The payload codec of this worker does not decode: the key new is unknown';
  await expect(codecWithKeys('old').decode([granted])).rejects.toThrow(refusal);
  await expect(codecWithKeys('old').decode([damaged, granted])).rejects.toThrow(refusal);
  const [decoded] = await codecWithKeys('old', 'new').decode([granted]);
  expect(read(decoded)).toBe('a slot');
});

const circular = new Error('first');
circular.cause = new Error('second', { cause: circular });

test.each([
  ['an error that is its own cause', () => Promise.reject(circular), 'first'],
  ['a codec that returns nothing', async () => [], 'another number of payloads'],
  ['an error that is no error', () => Promise.reject('vault closed'), 'vault closed'],
  ['a mark that is not true', () => Promise.reject(Object.assign(new Error('x'), { undecodable: 'maybe' })), 'x'],
] as const)('%s says nothing of the payload: the task fails', async (_, decode, reason) => {
  const codec = passUndecodable({ encode: async (payloads) => payloads, decode: decode as PayloadCodec['decode'] });
  await expect(codec.decode([payload('a')])).rejects.toThrow(reason);
});

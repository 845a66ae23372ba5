import { defaultPayloadConverter, type Payload, type PayloadCodec } from '@temporalio/common';
import { expect, test } from 'vitest';
import { passUndecodable } from '../../src/worker/undecodable-payloads.js';

const payload = (value: unknown): Payload => defaultPayloadConverter.toPayload(value) as Payload;
const read = (one: Payload | undefined): unknown => defaultPayloadConverter.fromPayload(one as Payload);

/** A codec that marks what it encodes, refuses what it has not encoded, and fails while `isAway`. */
function markingCodec() {
  const state = { isAway: false };
  const check = (): void => {
    if (state.isAway) throw new Error('the key service does not answer');
  };
  const codec: PayloadCodec = {
    encode: async (payloads) => {
      check();
      return payloads.map(
        ({ metadata, data }) => ({ metadata: { ...metadata, marked: Buffer.from('1') }, data }) as Payload,
      );
    },
    decode: async (payloads) => {
      check();
      if (!payloads.every(({ metadata }) => metadata?.['marked'] !== undefined))
        throw new Error('a foreign \u001b[31mkey');
      return payloads;
    },
  };
  return { state, codec: passUndecodable(codec) };
}

test('a payload that the codec refuses is passed on, unreadable, with the reason; those with it are decoded', async () => {
  const { codec } = markingCodec();
  const [good] = await codec.encode([payload('ours')]);
  const [first, foreign, last] = await codec.decode([good as Payload, payload('theirs'), good as Payload]);
  expect([read(first), read(last)]).toEqual(['ours', 'ours']);
  expect(() => read(foreign)).toThrow('Unknown encoding: undecodable: a foreign key');
});

test('while the codec itself fails nothing is passed on: a good message is not lost with it', async () => {
  const { codec, state } = markingCodec();
  const [good] = await codec.encode([payload('ours')]);
  state.isAway = true;
  await expect(codec.decode([good as Payload])).rejects.toThrow('the key service does not answer');
  state.isAway = false;
  expect(read((await codec.decode([good as Payload]))[0])).toBe('ours');
});

test('a codec that returns nothing for a payload leaves it unreadable', async () => {
  const codec = passUndecodable({
    encode: async (payloads) => payloads,
    decode: async (payloads) => {
      if (payloads.length > 1) throw new Error('one at a time');
      return read(payloads[0]) === 'wan-video' ? payloads : [];
    },
  });
  const decoded = await codec.decode([payload('a'), payload('b')]);
  for (const one of decoded) expect(() => read(one)).toThrow('the codec returned nothing');
});

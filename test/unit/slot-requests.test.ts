import { expect, test } from 'vitest';
import { SLOT_REQUESTS_BYTES_MAX } from '../../src/contract/slots.js';
import { SlotRequests } from '../../src/worker/slot-requests.js';

const requestOf = (index: number, requesterId = `run-${index}`) => ({
  key: index.toString(16).padStart(64, '0'),
  afterPurchase: 0,
  requesterId,
  tenant: null,
  batch: null,
  priority: 'batch' as const,
});

/** Requests whose messages are kept, as the numbers of their requests. */
function recorded(fails: (message: number) => boolean = () => false) {
  const messages: { readonly atMs: number; readonly indexes: readonly number[]; readonly bytes: number }[] = [];
  const requests = new SlotRequests(async (group) => {
    const indexes = group.map(({ key }) => Number.parseInt(key, 16));
    messages.push({ atMs: performance.now(), indexes, bytes: JSON.stringify(group).length });
    if (fails(messages.length)) throw new Error('Temporal is away');
  });
  return { messages, requests };
}

test('a request goes at once, a crowd goes in few messages with a pause between them, in its order', async () => {
  const { messages, requests } = recorded();
  const count = 1_201;
  await Promise.all(Array.from({ length: count }, (_, index) => requests.send(requestOf(index))));
  expect(messages.map(({ indexes }) => indexes.length)).toEqual([1, 500, 500, 200]);
  expect(messages.flatMap(({ indexes }) => indexes)).toEqual(Array.from({ length: count }, (_, index) => index));
  const pauses = messages.slice(1).map(({ atMs }, at) => atMs - (messages[at]?.atMs ?? 0));
  expect(Math.min(...pauses)).toBeGreaterThan(490);
});

test('each request of a message that is lost is rejected, and the next message goes', async () => {
  const { messages, requests } = recorded((message) => message === 2);
  const sent = await Promise.allSettled([0, 1, 2].map((index) => requests.send(requestOf(index))));
  expect(sent.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  await requests.send(requestOf(3));
  expect(messages.at(-1)?.indexes).toEqual([3]);
});

test('a message has no more bytes than the slots read, however long the ids are', async () => {
  const { messages, requests } = recorded();
  // Each of these characters takes six bytes in JSON.
  const ids = Array.from({ length: 200 }, () => '\u0001'.repeat(1_000));
  await Promise.all(ids.map((id, index) => requests.send(requestOf(index, id))));
  expect(messages.flatMap(({ indexes }) => indexes)).toHaveLength(200);
  for (const { bytes } of messages) expect(bytes).toBeLessThanOrEqual(SLOT_REQUESTS_BYTES_MAX + 2);
});

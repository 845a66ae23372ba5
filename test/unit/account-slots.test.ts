import type { Client } from '@temporalio/client';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.js';
import type { SlotRequestsMessage } from '../../src/contract/slots.js';
import { accountSlotsPort } from '../../src/worker/account-slots.js';

const config = loadConfig({ DASHSCOPE_API_KEY: 'sk-1' }, { cwd: '/', homeDir: '/' });

const requestOf = (requesterId: string) => ({
  key: 'a'.repeat(64),
  afterPurchase: 0,
  requesterId,
  tenant: null,
  batch: null,
  priority: 'batch' as const,
});

test('a message of requests that Temporal never answers keeps back no later one', async () => {
  const messages: SlotRequestsMessage[] = [];
  const client = {
    // A call with a deadline ends at it; one without waits for ever.
    withDeadline: (_at: number, call: () => Promise<unknown>) =>
      Promise.race([call(), new Promise((_, reject) => setImmediate(reject, new Error('DEADLINE_EXCEEDED')))]),
    workflow: {
      executeUpdateWithStart: () => Promise.reject(new Error('busy')),
      signalWithStart: (_: unknown, { signalArgs: [message] }: { signalArgs: [SlotRequestsMessage] }) => {
        messages.push(message);
        return messages.length === 1 ? new Promise(() => undefined) : Promise.resolve();
      },
    },
  } as unknown as Client;
  const slots = accountSlotsPort(client, config, undefined, async () => true);
  await expect(slots.requestSlot(requestOf('first'))).rejects.toThrow('DEADLINE_EXCEEDED');
  await expect(slots.requestSlot(requestOf('second'))).resolves.toBeUndefined();
  expect(messages.map(({ requests }) => requests.map(({ requesterId }) => requesterId))).toEqual([
    ['first'],
    ['second'],
  ]);
});

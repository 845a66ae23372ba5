import { arrayFromPayloads, defaultPayloadConverter, type TypeInfo } from '@temporalio/common';
import { expect, test } from 'vitest';
import { leaveUndecoded } from '../../workflows/shared/query-guard.js';
import { HOSTILE_ARGUMENTS } from '../support/hostile-messages.js';

const handler = () => 'answer';

test.each(['ours', '__stack_trace', 'noSuchQuery', '__proto__'])(
  'no argument of the query %s is decoded, and a name without a handler has none',
  (name) => {
    const handlers = new Map<string, { handler?: unknown; typeInfo?: { inputTypes: readonly TypeInfo[] } }>([
      ['ours', { handler }],
      ['__stack_trace', { handler }],
    ]);
    leaveUndecoded(handlers);
    const entry = handlers.get(name);
    for (const payloads of HOSTILE_ARGUMENTS) {
      const given = arrayFromPayloads(defaultPayloadConverter, [...payloads], undefined, entry?.typeInfo?.inputTypes);
      expect(given).toHaveLength(payloads.length);
    }
    expect(entry?.handler).toBe(handlers.has(name) ? handler : undefined);
  },
);

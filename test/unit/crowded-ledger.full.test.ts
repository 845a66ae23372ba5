import { test } from 'vitest';
import { expectCostOfOpen } from '../support/crowded-ledger.js';

test('with 50 000 closed purchases of a day each operation asks for what is open, and for pages of names', async () => {
  await expectCostOfOpen(50_000);
}, 300_000);

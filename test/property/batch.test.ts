import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { BatchItemEnd, BatchItemOutcome } from '../../src/contract/batch.js';
import { STEP_TIMES } from '../../src/contract/times.js';
import { BatchState } from '../../workflows/batch/batch-state.js';

const ENDS: readonly BatchItemOutcome[] = ['generated', 'cache', 'adopted', 'failed', 'cancelled'];

const endOf = (item: number, outcome: BatchItemOutcome, cause: string | null = null): BatchItemEnd => ({
  item_id: `item-${item}`,
  outcome,
  cause,
  code: null,
  message: null,
  run: '',
  task_id: null,
  video_url: null,
  sha256: null,
  billed: outcome === 'generated',
  billed_seconds: outcome === 'generated' ? 4 : 0,
  resolution: '720P',
  audio: false,
  duration: null,
  timings: null,
  started_at_ms: 0,
  ended_at_ms: 0,
});

/** What happens to a batch, in any order and as often as it likes. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: 'start' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      item: fc.nat(11),
      outcome: fc.constantFrom(...ENDS, 'needs_attention' as const),
      account: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'resume' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'continue' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('window' as const), window: fc.integer({ min: 1, max: 12 }) }),
  },
);

test('for ends in any order, over any number of runs, each item is counted once and none is lost', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), fc.integer({ min: 1, max: 12 }), (steps, items) => {
      const size = { items, duplicates: 0, invalid: 0, times: STEP_TIMES, attributes: false, labelsHidden: false };
      let state = BatchState.first(size, { startedAtMs: 0, window: 3 });
      const written: BatchItemEnd[] = [];
      const startNext = () => {
        const again = state.data.again.shift();
        if (again !== undefined) return state.started({ itemId: again.end.item_id, at: again.at });
        const at = state.data.taken;
        if (at === items) {
          state.data.position = null;
          return;
        }
        state.took({ next: at + 1 });
        state.started({ itemId: `item-${at}`, at });
      };
      const holds = () => {
        const { counts, billed } = state.data.totals;
        const ended = ENDS.reduce((sum, name) => sum + counts[name as 'failed'], 0) + counts.needs_attention;
        const { inFlight, waiting } = state;
        expect(ended + inFlight.size + waiting).toBe(items);
        expect(counts.needs_attention).toBe(state.parked.size);
        expect(state.data.again.every(({ end }) => !inFlight.has(end.item_id))).toBe(true);
        expect(billed.reduce((sum, { seconds }) => sum + seconds, 0)).toBe(4 * counts.generated);
      };
      for (const one of steps) {
        if (one.kind === 'start' && state.mayStart) {
          startNext();
          expect(state.inFlight.size).toBeLessThanOrEqual(state.data.window);
        }
        if (one.kind === 'end') {
          const isAccount = one.account && one.outcome === 'failed';
          state.ended(endOf(one.item, one.outcome, isAccount ? 'AccountBlocked' : null), 1);
        }
        if (one.kind === 'resume') state.data.pause = null;
        if (one.kind === 'window') state.data.window = one.window;
        if (one.kind === 'continue') {
          written.push(...state.unwritten);
          state = new BatchState(JSON.parse(JSON.stringify(state.carried())));
        }
        holds();
      }
      // Resumed, it comes to its end, and what was written says the same as the totals.
      state.data.pause = null;
      for (let turn = 0; !state.isComplete; turn += 1) {
        expect(turn).toBeLessThan(1_000);
        if (state.mayStart) startNext();
        for (const id of [...state.inFlight.keys()]) state.ended(endOf(Number(id.slice(5)), 'generated'), 2);
      }
      holds();
      written.push(...state.unwritten);
      const last = new Map(written.map((end) => [end.item_id, end.outcome]));
      expect(last.size).toBe(items);
      for (const name of [...ENDS, 'needs_attention'] as const) {
        expect([...last.values()].filter((outcome) => outcome === name)).toHaveLength(state.data.totals.counts[name]);
      }
    }),
    { numRuns: 300 },
  );
});

import { expect, test } from 'vitest';
import type { SlotRequestMessage } from '../../src/contract/slots.js';
import {
  addRequest,
  adoptOpenPurchases,
  grantSlots,
  hasRoomForRequester,
  releaseSlot,
  removeRequester,
  removeUnreachable,
} from '../../workflows/slots/slot-queue.js';
import { emptySlotState, type SlotState } from '../../workflows/slots/slot-state.js';
import { toSlotsView, toSlotView } from '../../workflows/slots/slots-view.js';

const requestFor = (key: string, more: Partial<SlotRequestMessage> = {}): SlotRequestMessage => ({
  key,
  afterPurchase: 0,
  requesterId: `run ${key}`,
  tenant: null,
  batch: null,
  priority: 'interactive',
  limit: 5,
  ...more,
});
/** `a1` is an item of batch `a`; `t/a1` is one of tenant `t`; a name without a digit is an interactive request. */
const requestOf = (name: string): SlotRequestMessage => {
  const [tenant, item] = name.includes('/') ? name.split('/') : [null, name];
  const batch = /^([a-z]+)\d+$/.exec(item ?? '')?.[1] ?? null;
  return requestFor(name, { tenant: tenant ?? null, batch, priority: batch === null ? 'interactive' : 'batch' });
};
const waiting = (limit: number, names: string): SlotState =>
  names.split(' ').reduce((state, name, at) => addRequest(state, requestOf(name), at), emptySlotState(limit));
const grantOrder = ({ queue }: SlotState) => queue.first(1_000);
const keys = (entries: readonly { key: string }[]): string => entries.map(({ key }) => key).join(' ');

test.each([
  { waits: 'x y z', order: 'x y z', why: 'they are in the order of requests' },
  { waits: 'a1 a2 x', order: 'x a1 a2', why: 'somebody waits for x' },
  { waits: 'a1 a2 a3 b1 b2 b3', order: 'a1 b1 a2 b2 a3 b3', why: 'batches take turns' },
  { waits: 'a1 a2 a3 a4 b1', order: 'a1 b1 a2 a3 a4', why: 'a small batch does not wait for a large one' },
  {
    waits: 't/a1 t/a2 t/b1 t/b2 u/c1 u/c2',
    order: 't/a1 u/c1 t/b1 u/c2 t/a2 t/b2',
    why: 'first tenants, then batches',
  },
  { waits: 't/x t/y t/z u/w', order: 't/x u/w t/y t/z', why: 'interactive requests of tenants take turns, too' },
])('requests that wait as $waits are granted as $order: $why', ({ waits, order }) => {
  const state = waiting(0, waits);
  expect(keys(grantOrder(state))).toBe(order);
  let [after, one] = [state, ''];
  const grants: string[] = [];
  // Slots that become free one by one are granted in the same order.
  for (let limit = 1; limit <= order.split(' ').length; limit += 1) {
    const step = grantSlots({ ...after, limit }, 0);
    [after, one] = [step.state, keys(step.grants)];
    grants.push(one);
  }
  expect(grants.join(' ')).toBe(order);
  expect(after.queue.size).toBe(0);
});

test('a batch that starts later takes turns from then on and does not catch up', () => {
  let state = grantSlots(waiting(3, 'a1 a2 a3 a4 a5 a6'), 0).state;
  for (const name of ['b1', 'b2', 'b3']) state = addRequest(state, requestOf(name), 1);
  expect(keys(grantOrder(state))).toBe('a4 b1 a5 b2 a6 b3');
});

test('a batch that has only one item waiting at a time does not get ahead of another by coming back', () => {
  let state = waiting(1, 'b1 b2 b3 b4 a1');
  const grants: string[] = [];
  for (let round = 1; round <= 6; round += 1) {
    const step = grantSlots(state, round);
    grants.push(keys(step.grants));
    state = releaseSlot(step.state, { key: keys(step.grants), n: 1 }, 0);
    if (keys(step.grants).startsWith('a')) state = addRequest(state, requestOf(`a${round + 1}`), round);
  }
  expect(grants.map((name) => name[0]).join('')).toBe('bababa');
});

test('no more slots are granted than the limit, to which value it ever changes', () => {
  const { state, grants } = grantSlots(waiting(2, 'a b c d e'), 7);
  expect(keys(grants)).toBe('a b');
  expect(keys(grantSlots({ ...state, limit: 1 }, 8).grants)).toBe('');
  expect(keys(grantSlots({ ...state, limit: 4 }, 8).grants)).toBe('c d');
  expect(state.holders.map(({ sinceMs }) => sinceMs)).toEqual([7, 7]);
});

test('a repeated request keeps its place, and its slot', () => {
  const state = waiting(1, 'a b c');
  const before = structuredClone(grantOrder(state));
  expect(grantOrder(addRequest(state, requestOf('b'), 99))).toEqual(before);
  const held = grantSlots(state, 1).state;
  expect(addRequest(held, requestOf('a'), 99)).toEqual(held);
});

test('runs of one purchase key share one slot, which is free once the last of them has withdrawn', () => {
  let { state } = grantSlots(addRequest(waiting(1, 'a'), requestFor('a', { requesterId: 'other' }), 1), 1);
  expect(state.holders).toMatchObject([{ key: 'a', requesters: ['run a', 'other'] }]);
  state = removeRequester(state, 'a', 'run a', true, 0);
  expect(keys(state.holders)).toBe('a');
  state = removeRequester(state, 'a', 'other', true, 0);
  expect(state.holders).toEqual([]);
});

test('an interactive request takes over the place that a batch has requested', () => {
  const state = addRequest(waiting(0, 'a1 a2 a3'), requestFor('a3', { requesterId: 'a person', tenant: 't' }), 9);
  expect(keys(grantOrder(state))).toBe('a3 a1 a2');
  expect(grantOrder(state)[0]).toMatchObject({ priority: 'interactive', tenant: 't', batch: null, sinceMs: 2 });
});

test.each([
  { n: 3, held: '', why: 'it is the purchase that was made with the slot' },
  { n: 4, held: '', why: 'the third one was not created, and the fourth had its slot' },
  { n: 2, held: 'a', why: 'it had ended before the slot was requested' },
])('the release of purchase $n leaves "$held" held after the second: $why', ({ n, held }) => {
  const { state } = grantSlots(addRequest(emptySlotState(1), requestFor('a', { afterPurchase: 2 }), 0), 0);
  expect(keys(releaseSlot(state, { key: 'a', n }, 0).holders)).toBe(held);
  expect(releaseSlot(state, { key: 'b', n: 9 }, 0)).toEqual(state);
});

test('a request for the next purchase of a key keeps the slot of the one before', () => {
  const { state } = grantSlots(waiting(1, 'a'), 0);
  const next = addRequest(state, requestFor('a', { afterPurchase: 1 }), 5);
  expect(next.holders).toMatchObject([{ key: 'a', afterPurchase: 1 }]);
  expect(keys(releaseSlot(next, { key: 'a', n: 1 }, 0).holders)).toBe('a');
});

test('a run that withdraws while it waits frees its place', () => {
  expect(keys(grantOrder(removeRequester(waiting(0, 'a b c'), 'b', 'run b', true, 0)))).toBe('a c');
});

test('open purchases of the ledger are held from the start, above the limit as well, by the runs that bought them', () => {
  const cost = { seconds: 4, resolution: '720P', audio: false } as const;
  const open = [
    { key: 'a', n: 2, workflowId: 'run a', tenant: 't', batch: null, cost },
    { key: 'x', n: 1, workflowId: 'run x', tenant: null, batch: null, cost },
  ];
  const state = adoptOpenPurchases(waiting(1, 'a b'), [...open, ...open], 3);
  expect(state.holders).toMatchObject([
    { key: 'a', afterPurchase: 1, requesters: ['run a'], tenant: null, sinceMs: 3 },
    { key: 'x', afterPurchase: 0, requesters: ['run x'] },
  ]);
  expect(keys(grantOrder(state))).toBe('b');
  expect(grantSlots(state, 4).grants).toEqual([]);
});

test('a slot is shown with its runs and the time since when it is held', () => {
  const { holders } = grantSlots(waiting(1, 't/a1'), 8).state;
  expect(holders.map(toSlotView)).toEqual([
    {
      purchase_key: 't/a1',
      runs: ['run t/a1'],
      runs_count: 1,
      tenant: 't',
      batch: 'a',
      priority: 'batch',
      since_ms: 8,
    },
  ]);
});

test('the view is a page of those that wait, with counts of all, and stays below the limit of an answer', () => {
  const names = Array.from({ length: 300 }, (_, at) => `a${at}`).join(' ');
  const { state } = grantSlots(waiting(2, names), 1);
  const view = toSlotsView(state, { offset: 250, count: 10 }, 2);
  expect(view).toMatchObject({ limit: 2, holders_count: 2, waiting_count: 298, waiting_offset: 250 });
  expect(view.waiting.map(({ purchase_key }) => purchase_key)).toEqual(
    grantOrder(state)
      .slice(250, 260)
      .map(({ key }) => key),
  );
  expect(toSlotsView(state, {}, 2).waiting).toHaveLength(100);
  expect(toSlotsView(state, { offset: 400 }, 2).waiting).toEqual([]);
  const long = 'x'.repeat(990);
  for (let at = 0; at < 1_000; at += 1) {
    const id = `${long}${at}`;
    addRequest(state, requestFor(id, { requesterId: id, tenant: long, batch: long, priority: 'batch' }), 3);
  }
  const page = toSlotsView(state, { offset: 298, count: 1_000 }, 4);
  expect(page.waiting.length).toBeGreaterThan(100);
  expect(JSON.stringify(page).length).toBeLessThan(1_000_000);
});

/** A state after all these runs have requested one key, as far as there was room. */
function crowd(before: SlotState, key: string, ids: readonly string[]): SlotState {
  const request = (requesterId: string) => requestFor(key, { requesterId });
  return ids.reduce(
    (state, id) => (hasRoomForRequester(state, request(id)) ? addRequest(state, request(id), 0) : state),
    before,
  );
}
const runIds = (count: number, length = 0) => Array.from({ length: count }, (_, at) => `run ${at}`.padEnd(length, '.'));

test.each(['held', 'waiting'] as const)('a key that is %s takes a thousand runs, and those it has again', (how) => {
  const first = addRequest(emptySlotState(how === 'held' ? 1 : 0), requestFor('k'), 0);
  const ids = runIds(2_100);
  const state = crowd(grantSlots(first, 0).state, 'k', ids);
  const entry = state.holders[0] ?? state.queue.get('k');
  expect(entry?.requesters).toHaveLength(1_000);
  expect(hasRoomForRequester(state, requestFor('k', { requesterId: ids[0]! }))).toBe(true);
  expect(hasRoomForRequester(state, requestFor('k', { requesterId: ids[2_000]! }))).toBe(false);
  expect(hasRoomForRequester(state, requestFor('another'))).toBe(true);
});

test('runs with the longest ids on every slot fit into the input of the next run', () => {
  let state = emptySlotState(5);
  for (const key of ['a', 'b', 'c', 'd', 'e']) state = crowd(state, key, runIds(2_100, 1_000));
  state = grantSlots(state, 0).state;
  expect(state.holders).toHaveLength(5);
  for (const key of ['a', 'b', 'c', 'd', 'e']) state = crowd(state, key, runIds(4_200, 1_000));
  expect(JSON.stringify(state.holders).length).toBeLessThan(400_000);
});

test('payers that join and leave a slot count as its runs', () => {
  let state = grantSlots(addRequest(emptySlotState(1), requestFor('k'), 0), 0).state;
  for (let at = 0; at < 2_100; at += 1) {
    const request = requestFor('k', { requesterId: `run ${at}`, tenant: `t${at}` });
    if (hasRoomForRequester(state, request))
      state = removeUnreachable(addRequest(state, request, 0), 'k', `run ${at}`, 0);
  }
  expect(Object.keys(state.holders[0]?.payers ?? {}).length).toBeLessThanOrEqual(1_000);
});

test('a run that is gone leaves its slot to the others; the last one stays until the audit', () => {
  let state = grantSlots(crowd(emptySlotState(1), 'k', ['a', 'b', 'c']), 0).state;
  for (const id of ['a', 'c', 'b', 'b', 'unknown']) state = removeUnreachable(state, 'k', id, 0);
  expect(state.holders.map(({ requesters }) => requesters)).toEqual([['b']]);
  const queued = crowd(emptySlotState(0), 'k', ['a']);
  expect(removeUnreachable(queued, 'k', 'a', 0).queue.size).toBe(0);
});

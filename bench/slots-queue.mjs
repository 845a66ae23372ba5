// What a message costs the account's slots, by how many requests wait: CPU time of the decisions, without Temporal. A
// request comes for a tenant of a thousand, and a slot is released and granted again.
//   node bench/slots-queue.mjs [--json FILE]
// Exit code 1: with 50,000 requests a message costs more than four times what it costs with 100.
import '../scripts/require-node.mjs';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { packQueue, unpackQueue } from '../dist/workflows/slots/carried-queue.js';
import { addRequest, grantSlots, releaseSlot } from '../dist/workflows/slots/slot-queue.js';
import { emptySlotState } from '../dist/workflows/slots/slot-state.js';
import { toDetails, toSlotsView } from '../dist/workflows/slots/slots-view.js';
import { WaitingQueue } from '../dist/workflows/slots/waiting-queue.js';

const { values } = parseArgs({ options: { json: { type: 'string' } } });
const MESSAGES = 1_000;
const RATIO_MAX = 4;

/** Digits like those of a hash. */
const hash = (at) =>
  Array.from({ length: 8 }, (_, part) => ((at + part) * 2_654_435_761) >>> 0)
    .map((word) => word.toString(16).padStart(8, '0'))
    .join('');

const requestOf = (at) => ({
  key: hash(at),
  afterPurchase: 0,
  requesterId: `video/${hash(at + 1_000_000)}`,
  tenant: `tenant-${at % 1_000}`,
  batch: `batch-${at % 3}`,
  priority: 'batch',
  limit: 5,
  cost: { seconds: 5, resolution: '720P', audio: false },
});

/** Microseconds of CPU. */
function cpuOf(act) {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function measure(waiting) {
  let state = emptySlotState(5);
  for (let at = 0; at < waiting + 5; at += 1) state = addRequest(state, requestOf(at), at);
  state = grantSlots(state, 0).state;
  let next = waiting + 5;
  const message = () => {
    // What the scheduler does in one step: a request, a release, the grants, the nearest places and the details.
    state = addRequest(state, requestOf(next), next);
    next += 1;
    state = releaseSlot(state, { key: state.holders[0].key, n: 1 }, next);
    state = grantSlots(state, next).state;
    state.queue.first(64);
    toDetails(state, 0, next);
  };
  for (let warm = 0; warm < MESSAGES; warm += 1) message();
  const message_us =
    cpuOf(() => {
      for (let at = 0; at < MESSAGES; at += 1) message();
    }) / MESSAGES;
  const view_ms = cpuOf(() => toSlotsView(state, {}, 0)) / 1_000;
  let pages = [];
  const pack_ms =
    cpuOf(() => {
      pages = packQueue(state.queue, 1_000_000);
    }) / 1_000;
  const unpack_ms = cpuOf(() => unpackQueue(pages, new WaitingQueue())) / 1_000;
  const bytes = pages.reduce((sum, page) => sum + page.length, 0);
  return { waiting: state.queue.size, message_us, view_ms, pack_ms, unpack_ms, bytes, pages: pages.length };
}

measure(1_000); // compiles everything
const rows = [0, 100, 1_000, 10_000, 50_000].map(measure);
const [, base] = rows;
const ratio = rows.at(-1).message_us / base.message_us;
for (const row of rows) {
  const shown = Object.entries(row).map(([name, value]) => `${name} ${Math.round(value * 10) / 10}`);
  process.stdout.write(`${shown.join(', ')}, ${(row.message_us / base.message_us).toFixed(2)} x 100 waiting\n`);
}
const held = ratio <= RATIO_MAX;
process.stdout.write(`${held ? 'held' : 'NOT HELD'}: 50,000 waiting cost ${ratio.toFixed(2)} x 100 waiting\n`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ rows, ratio }, null, 2)}\n`);
process.exit(held ? 0 : 1);

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WanBatchClient } from '../../src/client/batch-client.js';
import { DEFAULT_TASK_QUEUE } from '../../src/client/batch-options.js';
import { sha256Of } from '../support/served-video.js';
import type { Disturbance } from './cells.js';
import { disturb, expectNotified, waitFor } from './run-cells.js';
import { HOLDING_TIMES, startWorld, type World } from './world.js';

let world: World;
let batches: WanBatchClient;
beforeAll(async () => {
  world = await startWorld({ times: HOLDING_TIMES });
  const { client, store } = world;
  batches = new WanBatchClient({ client, store, taskQueue: DEFAULT_TASK_QUEUE });
});
afterAll(() => world?.close());

const DISTURBANCES: readonly (Disturbance | 'receiver-down')[] = [
  'worker-sigterm',
  'worker-sigkill',
  'temporal-down',
  'provider-down',
  'store-gone',
  'store-unwritable',
  'activity-pause',
  'activity-reset',
  'slots-terminated',
  'hostile-messages',
  'receiver-down',
];
const ITEMS = ['one', 'two', 'three'];
const REPORTS = ['csv', 'html', 'json'] as const;

test.each(DISTURBANCES)(
  '%s while a batch delivers: each video is once under its name, with the documents, and its end is notified once',
  async (what) => {
    const folder = `clips-${what}`;
    const lines = ITEMS.map((item_id) => ({ ...world.request(`${what} ${item_id}`), item_id }));
    // A file in the place of its folder holds the delivery.
    const obstacle = join(world.storeDir, folder);
    await writeFile(obstacle, 'in the way');
    const deliver = `${folder}/{item_id}.mp4`;
    const { batch_id: id } = await batches.start({ lines }, { id: what, deliver, deliverReports: REPORTS });
    await waitFor('the delivery', async () => (await batches.progress(id)).stage === 'delivering', 120_000);
    // Nothing more ends, so there is no rate.
    expect(await batches.progress(id)).toMatchObject({ items_per_minute: null, eta_ms: null });
    if (what === 'receiver-down') await world.receiver.down();
    else await disturb(world, what, [{ step: 'archive', id: `batch/${id}`, prompt: '' }]);
    await rm(obstacle);
    const { delivery } = await batches.result(id);
    await world.receiver.up().catch(() => undefined); // it was not away

    expect(delivery).toMatchObject({ files: 3, missing: 0, undelivered: 0, problems: [], failure: null });
    const found = new Map<string, string>();
    for await (const { key } of world.store.list(`${folder}/`)) {
      found.set(key.slice(folder.length + 1), await sha256Of(await world.store.get(key)));
    }
    const documents = REPORTS.map((format) => `report-${id}.${format}`);
    expect([...found.keys()].toSorted()).toEqual([...ITEMS.map((item) => `${item}.mp4`), ...documents].toSorted());
    for await (const { item_id, task_id } of batches.report(id)) {
      expect(found.get(`${item_id}.mp4`), item_id).toBe(await world.providerHash(task_id ?? ''));
    }
    await expectNotified(world);
  },
  300_000,
);

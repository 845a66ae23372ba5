import { createServer } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { freePort } from '../../src/dev/temporal-server.js';
import { stageImage } from '../../src/media/stage-image.js';
import type { AssetStore } from '../../src/storage/asset-store.js';
import { videoKey } from '../../src/storage/keys.js';
import { findChromium } from '../structure/parts.js';
import { writeTestImage } from '../support/images.js';
import { QUICK_LEDGER } from '../support/quick-times.js';
import { type Stack, startStack } from '../support/stack.js';
import { WebUi } from './web-ui.js';

const chromium = findChromium();

describe.skipIf(chromium === undefined)("an operator's night in Temporal's Web UI", () => {
  let stack: Stack;
  let ui: WebUi;
  let published: string;
  let unpublish = async (): Promise<void> => undefined;

  beforeAll(async () => {
    published = `http://127.0.0.1:${await freePort()}`;
    const env = { ASSET_PUBLIC_BASE_URL: published, WAN_VIDEO_RUNBOOK_URL: `${published}/operations` };
    stack = await startStack({ ui: true, settings: { speed: 20 }, times: QUICK_LEDGER, env });
    unpublish = await publish(stack.store, published);
    // Two runs whose lost replies cannot be matched to one task each: both are parked.
    stack.emulator.queueFaults({ on: 'submit', fault: 'drop-reply', match: 'storm', times: 2 });
    const storm = stack.request('A storm over the harbour');
    const file = join(stack.outputDir, 'other.bmp');
    await writeTestImage(file, { width: 1280, height: 720 });
    const other = `asset:${(await stageImage(file, stack.store)).asset.key}`;
    const twins = [await stack.videos.start(storm), await stack.videos.start({ ...storm, reference_image: other })];
    // The operator is called.
    const parked = async (id: string) => (await stack.videos.progress(id)).stage === 'needs_attention';
    await Promise.all(twins.map(({ id }) => vi.waitUntil(() => parked(id), { timeout: 60_000, interval: 100 })));
    ui = await WebUi.open(chromium ?? '', stack.uiUrl ?? '');
  });
  afterAll(async () => {
    await ui?.close();
    await unpublish();
    await stack?.close();
  });

  test('finds the parked run, watches each candidate, decides as the page says, and sees the run go on and end', async () => {
    const { emulator, store } = stack;
    const waiting = 'VideoOutcome="needs_attention" AND ExecutionStatus="Running"';
    const run = await ui.openFound(waiting, 2);
    const parked = await ui.read(run, /^needs_attention\n/);
    const links = await ui.links(run, /^needs_attention\n/);
    const candidates = [...parked.currentDetails.matchAll(/^\s*candidate (\S+):/gm)].map(([, id = '']) => id);
    expect(candidates.toSorted()).toEqual(
      emulator
        .state()
        .tasks.map(({ task_id }) => task_id)
        .toSorted(),
    );
    for (const id of candidates) {
      const kept = `${published}/candidates/${id}.mp4`;
      expect(links).toContain(kept);
      expect(await ui.watch(run, /^needs_attention\n/, kept)).toEqual({ width: 1280, height: 720 });
    }
    expect(links).toContain(`${published}/operations#a-run-waits-for-a-person`);

    // The page has the input of each decision, ready to be pasted.
    const inputs = [...parked.currentDetails.matchAll(/decide: Update resolveSubmit with (\{.*\})/g)].map(
      ([, input = '']) => JSON.parse(input) as object,
    );
    expect(inputs).toEqual([...candidates.map((task_id) => ({ task_id })), { buy_again: true }]);
    const [decision] = inputs;
    const chosen = candidates[0] ?? '';
    expect(await ui.sendUpdate(run, 'resolveSubmit', decision, () => stack.videos.result(run.id))).toMatchObject({
      answer: { decision, task_id: chosen },
    });

    const done = await ui.read(run, /^done\n/);
    expect(done.status).toMatch(/completed/i);
    const video = `${published}/${videoKey(chosen)}`;
    expect(await ui.watch(run, /^done\n/, video)).toEqual({ width: 1280, height: 720 });
    expect(done.searchAttributes).toContain(`"${chosen}"`);
    // The other run has the task that is left, or still waits: in both cases nothing more was bought.
    expect(emulator.state().tasks).toHaveLength(2);
    expect(await store.head(videoKey(chosen))).toBeDefined();
    const [row] = await ui.find(`VideoTaskId="${chosen}" AND VideoOutcome="generated"`, 1);
    expect(row).toContain(run.id);
  });
});

/** Serves a store's objects, as an operator's web server does. */
async function publish(store: AssetStore, origin: string): Promise<() => Promise<void>> {
  const server = createServer(async (request, response) => {
    const key = new URL(request.url ?? '/', origin).pathname.slice(1);
    if ((await store.head(key).catch(() => undefined)) === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'video/mp4' });
    await pipeline(await store.get(key), response).catch(() => undefined); // the browser has seen enough
  });
  await new Promise<void>((listening) => server.listen(Number(new URL(origin).port), '127.0.0.1', listening));
  return async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  };
}

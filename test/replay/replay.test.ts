import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { DeterminismViolationError } from '@temporalio/workflow';
import { describe, expect, test } from 'vitest';
import { WorkflowType } from '../../src/contract/names.js';
import { STEP_TIMES } from '../../src/contract/times.js';
import { stepTable } from '../../workflows/shared/activities.js';
import { BUNDLE, ROOT, TEST_KEY } from '../support/stack.js';
import { CASES } from './cases.js';
import { endOf, stepsOf, unsummarizedOf } from './history-facts.js';
import { committedPaths, pathOf, readHistory, textOf } from './history-file.js';
import { replay } from './replay-histories.js';

const code = readFileSync(BUNDLE, 'utf8');
const paths = committedPaths();

/** Some forty histories; a busy machine needs more than the usual minute. */
const REPLAY_TIMEOUT_MS = 300_000;

/**
 * The workflow code with one place changed; fails when the place is not there exactly once, so that no test goes blind.
 */
function changed(from: string, to: string): string {
  // A module's number in the bundle changes with every import.
  const pattern = from.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/MODULE_\d+__/g, 'MODULE_\\d+__');
  expect(code.split(new RegExp(pattern))).toHaveLength(2);
  return code.replace(new RegExp(pattern), () => to);
}

test('every case has a history, and every history a case', () => {
  expect(paths).toEqual(CASES.map(pathOf).sort());
});

test('every workflow and every step is in some history', () => {
  const histories = paths.map(readHistory);
  expect(new Set(paths.map((path) => path.split('/')[0]))).toEqual(new Set(Object.keys(WorkflowType)));
  expect(new Set(histories.flatMap(stepsOf))).toEqual(new Set(Object.keys(stepTable(STEP_TIMES, 'video-generate'))));
});

test('every timer, step and child has a summary for the Web UI', () => {
  const missing = paths.map((path) => [path, unsummarizedOf(readHistory(path))] as const);
  expect(missing.filter(([, types]) => types.length > 0)).toEqual([]);
});

test('every history ends and contains what its case says', () => {
  for (const one of CASES) {
    const history = readHistory(pathOf(one));
    expect(endOf(history), pathOf(one)).toBe(one.ends);
    expect(stepsOf(history), pathOf(one)).toEqual(expect.arrayContaining([...one.steps]));
  }
});

test(
  'every history replays on the workflow code of this build',
  async () => {
    expect(await replay(code, paths)).toEqual({});
  },
  REPLAY_TIMEOUT_MS,
);

describe('a change that a run in flight would not survive is caught:', () => {
  test.each([
    {
      what: 'a timer before the upload',
      from: "progress.enter('uploading');",
      to: "progress.enter('uploading'); await _temporalio_workflow__WEBPACK_IMPORTED_MODULE_0__.sleep(1);",
      by: 'videoGenerate/completed',
    },
    {
      what: 'a run that does not wait for its slot',
      from: 'await slot.waitForGrant(ready.slot, ready.answer, queueIdentity, times);',
      to: '',
      by: 'videoGenerate/waited-for-slot',
    },
    {
      what: 'slots that do not adopt open purchases first',
      from: 'const { open } = await this.#steps.findOpenSlots();',
      to: 'const open = [];',
      by: 'accountSlots/granted-and-released',
    },
    {
      what: 'another step in the place of one',
      from: 'pollScheduleToCloseMs: boundMs }).pollTask(',
      to: 'pollScheduleToCloseMs: boundMs }).restoreVideo(',
      by: 'videoGenerate/rendering-open',
    },
    {
      what: 'a salvage that is no longer started',
      from: "const salvaging = salvage(run, purchase, 'finishes a purchase whose run was cancelled');",
      to: 'const salvaging = Promise.resolve();',
      by: 'videoGenerate/cancelled-rendering',
    },
    {
      what: 'a salvage that archives without following first',
      from: "tracker.settle({ kind: 'follow', purchase }",
      to: "tracker.settle({ kind: 'unknown', purchase }",
      by: 'salvageVideo/reconciling',
    },
    {
      what: 'a batch that starts its items under other ids',
      from: 'const workflowId = (0,_src_contract_names_js__WEBPACK_IMPORTED_MODULE_4__.batchItemWorkflowId)(this.#batchId, itemId);',
      to: 'const workflowId = itemId;',
      by: 'videoBatch/continued-as-new',
    },
    {
      what: 'an item that does not report to its batch',
      from: 'await report((0,_src_contract_batch_item_js__WEBPACK_IMPORTED_MODULE_1__.videoEnd)(head, result, Date.now()));',
      to: '',
      by: 'videoGenerate/item-of-a-batch',
    },
    {
      what: 'a sweep that starts its salvages under other ids',
      from: 'const workflowId = (0,_src_contract_names_js__WEBPACK_IMPORTED_MODULE_1__.salvageWorkflowId)(purchase.key, purchase.n, extraTaskId);',
      to: 'const workflowId = purchase.key;',
      by: 'sweepPurchases/salvages',
    },
  ])('$what', async ({ from, to, by }) => {
    expect(await replay(changed(from, to), [by])).toEqual({ [by]: expect.any(DeterminismViolationError) });
  });
});

test('no history holds a key, a signed address, an upload policy, or anything of the machine that recorded it', () => {
  const secrets = [
    TEST_KEY,
    'Signature=',
    'OSSAccessKeyId',
    '/results/',
    'x-oss-',
    hostname(),
    ROOT,
    'wan-video-test-',
  ];
  const texts = paths.map((path) => [path, textOf(readHistory(path))] as const);
  expect(texts.filter(([, text]) => text.includes('asset:references/'))).not.toEqual([]); // it is in payloads only
  for (const [path, text] of texts) {
    expect(
      secrets.filter((one) => text.includes(one)),
      path,
    ).toEqual([]);
    expect(text, path).not.toContain('_tracer-data'); // they were recorded without tracing
    expect(text, path).not.toMatch(/\d+@[\w.-]+|\/(home|root|Users|tmp)\/|127\.0\.0\.1:(?!1\b)/);
  }
});

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatchProgress, BatchSummary } from '../../src/contract/batch.js';
import { batchInputIssues } from '../../src/contract/batch-input.js';
import { toFailure } from '../../src/contract/failure.js';
import type { VideoProgress, VideoResult } from '../../src/contract/result.js';
import { VideoError } from '../../src/contract/video-error.js';
import type { WebhookEvent, WebhookTestEvent } from '../../src/contract/webhook.js';
import { missedRuns } from '../../src/contract/webhook-data.js';
import { ROOT } from '../support/root.js';
import { jsonSchemas } from './schemas.js';

const schemas = jsonSchemas();
const compile = (name: string) => new Ajv2020({ allErrors: true }).compile(schemas.get(name) ?? {});

test.each([...schemas.keys()])(
  'docs/schemas/%s.schema.json is what the code says; `npm run api` writes it',
  async (name) => {
    const text = `${JSON.stringify(schemas.get(name), null, 2)}\n`;
    await expect(text).toMatchFileSnapshot(join(ROOT, 'docs', 'schemas', `${name}.schema.json`));
  },
);

test('docs/schemas has no other file', () => {
  const files = readdirSync(join(ROOT, 'docs', 'schemas')).sort();
  expect(files).toEqual([...schemas.keys()].map((name) => `${name}.schema.json`).sort());
});

describe('an answer of ours is what its schema says', () => {
  const result: VideoResult = {
    video_url: 's3://bucket/videos/a.mp4',
    duration: 4.04,
    fps: 24,
    seed: 7,
    width: 1280,
    height: 720,
    bytes: 1_000_000,
    sha256: '0'.repeat(64),
    has_audio: false,
    task_id: 'a1b2c3d4',
    request_id: null,
    source: 'generated',
    requested: { duration: 4, fps: 24, size: '1280*720' },
    usage: { billed_seconds: 4, resolution: '720P', audio: false },
    timings: { queued: 1, rendering: 60, detected: null, archived: 2 },
    warnings: [{ code: 'fps_not_honoured', message: '24 frames per second were requested' }],
  };
  const progress: VideoProgress = {
    stage: 'needs_attention',
    waiting_for: 'a person',
    task_id: null,
    attempt: 1,
    since_ms: 1,
    queued_seconds: null,
    rendering_since_ms: null,
    eta: { earliest_ms: 1, latest_ms: 2, samples: 0 },
    slot: null,
    notes: [],
    attention: null,
    cancel: { outcome: 'cancelled', billed: null, reason: null },
  };
  const counts = {
    total: 1,
    generated: 1,
    cache: 0,
    adopted: 0,
    failed: 0,
    cancelled: 0,
    needs_attention: 0,
    budget_reached: 0,
    duplicate: 0,
    invalid: 0,
  };
  const totals = { counts, causes: {}, billed: [], maybe_billed: 0 };
  const summary: BatchSummary = {
    ...totals,
    batch_id: 'spring',
    outcome: 'completed',
    started_at_ms: 1,
    ended_at_ms: 2,
    retry_of: null,
  };
  const batchProgress: BatchProgress = {
    ...totals,
    batch_id: 'spring',
    stage: 'paused',
    pause: { reason: 'requested', cause: null, since_ms: 1 },
    in_flight: 0,
    waiting: 0,
    window: 10,
    started_at_ms: 1,
    items_per_minute: null,
    eta_ms: null,
    attention: [],
    retry_of: null,
  };
  const head = { id: 'msg_1', timestamp: '2026-03-01T00:00:00.000Z' };
  const summaryOfEvent = { workflow_id: 'w', text: 'It ended.', reason: null, cause: null, next_step: null };
  const event: WebhookEvent = {
    ...head,
    type: 'run.needs_attention',
    data: {
      ...summaryOfEvent,
      batch_id: null,
      state: 'needs_attention',
      candidates: [],
      commands: [],
      video: null,
      link: null,
    },
  };
  const missedEvent: WebhookEvent = {
    ...head,
    type: 'schedule.runs_missed',
    data: missedRuns({ id: 'nightly', workflowId: 'batch/nightly', missed: 3, more: 1 }, 86_400_000),
  };
  const testEvent: WebhookTestEvent = { ...head, type: 'webhook.test', data: { text: 'a test' } };
  const failure = toFailure(new VideoError('TaskFailed', 'It failed', { billed: false, taskId: 'a1b2c3d4' }));

  test.each<[string, object]>([
    ['result', result],
    ['progress', progress],
    ['failure', failure],
    ['batch-progress', batchProgress],
    ['batch-report', summary],
    ['webhook-event', event],
    ['webhook-event', missedEvent],
    ['webhook-event', testEvent],
  ])('%s', (name, answer) => {
    const validate = compile(name);
    const sent = JSON.parse(JSON.stringify(answer)) as Record<string, unknown>;
    expect(validate(sent), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ ...sent, added_later: true })).toBe(true);
    for (const field of Object.keys(sent).filter((one) => !['billed', 'task_id'].includes(one) || name !== 'failure')) {
      const { [field]: _left, ...rest } = sent;
      expect(validate(rest), `${name} without ${field}`).toBe(false);
    }
  });
});

test('the schema of a batch’s input and its check agree', () => {
  const validate = compile('batch-input');
  const number = fc.oneof(
    fc.constantFrom(0, 1, 0.25, 500, 501, 1_000, 172_800),
    fc.integer(),
    fc.double({ noNaN: true }),
  );
  const word = fc.oneof(fc.constantFrom('', 'manifests/a.jsonl', 'UTC'), fc.constant('x'.repeat(501)));
  const anything = fc.oneof(number, word, fc.boolean(), fc.constant(null), fc.constant([]), fc.constant([{}]));
  const fields = {
    manifest_key: anything,
    items: anything,
    window: anything,
    allow_invalid: anything,
    manifest_wait_seconds: anything,
    page_items: anything,
    pause_when_failed_above: anything,
    other: anything,
  };
  fc.assert(
    fc.property(fc.record(fields, { requiredKeys: [] }), (input) => {
      // An unknown field that is null counts as absent, in the check alone: a schema cannot say so of every name.
      if (input.other === null) return;
      expect(validate(input)).toBe(batchInputIssues(input).length === 0);
    }),
    { numRuns: 2_000 },
  );
});

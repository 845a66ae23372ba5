import { describe, expect, test } from 'vitest';
import { batchInputIssues, inlineItems } from '../../src/contract/batch-input.js';

describe('what a batch is started with', () => {
  test.each([
    { manifest_key: 'lists/{date}.jsonl' },
    { items: [{ prompt: 1 }] }, // judged when the batch is opened
    { items: new Array(100).fill({}) },
    {
      manifest_key: 'a',
      window: 500,
      allow_invalid: false,
      manifest_wait_seconds: 0,
      timezone: 'UTC',
      retry_of: 'b',
      page_items: 1,
      schedule_id: 's',
      pause_when_failed_above: 0,
      deliver: 'delivery/{date}/{tenant}/{label:team}-{item_id}.mp4',
      deliver_report: ['csv', 'html', 'json'],
    },
    { manifest_key: 'a', items: null, window: null, timezone: undefined }, // null counts as left out
  ])('may be %j', (input) => {
    expect(batchInputIssues(input)).toEqual([]);
  });

  test.each<{ input: unknown; paths: string[] }>([
    ...[undefined, null, 'a', 7, []].map((input: unknown) => ({ input, paths: [''] })),
    { input: {}, paths: ['manifest_key'] },
    { input: { manifest_key: null, items: undefined }, paths: ['manifest_key'] },
    { input: { manifest_key: 'a', items: [{}] }, paths: ['items'] },
    { input: { manifest_key: 'a', deliver_report: ['csv'] }, paths: ['deliver_report'] },
    { input: { manifest_key: 'a', deliver: 'a/{item_id}.mp4', deliver_report: ['pdf'] }, paths: ['deliver_report'] },
    { input: { manifest_key: '' }, paths: ['manifest_key'] },
    { input: { items: [] }, paths: ['items'] },
    { input: { items: { prompt: 'a' } }, paths: ['items'] },
    { input: { items: new Array(101).fill({}) }, paths: ['items'] },
    { input: { items: [{ prompt: 'ä'.repeat(70_000) }] }, paths: ['items'] },
    { input: { manifest_key: 'a', constructor: 1, manifest: 'b' }, paths: ['constructor', 'manifest'] },
    {
      input: {
        manifest_key: 7,
        window: 501,
        allow_invalid: 'yes',
        manifest_wait_seconds: -1,
        timezone: 1,
        retry_of: {},
        page_items: 0.5,
        schedule_id: '',
        pause_when_failed_above: 25,
        deliver: '../{item}',
        deliver_report: 'csv',
      },
      paths: [
        ...['manifest_key', 'window', 'allow_invalid', 'manifest_wait_seconds', 'timezone'],
        ...['retry_of', 'page_items', 'schedule_id', 'pause_when_failed_above'],
        // It leaves its folder, has an unknown placeholder, names all lines alike and is no MP4.
        ...['deliver', 'deliver', 'deliver', 'deliver', 'deliver_report'],
      ],
    },
  ])('may not be %j: every fault is named by its field', ({ input, paths }) => {
    expect(batchInputIssues(input).map(({ path }) => path)).toEqual(paths);
  });

  test('says the bound of inline items, and what to do with more', () => {
    const [many] = batchInputIssues({ items: new Array(101).fill({}) });
    expect(many?.message).toBe(
      'has 101 items, the limit of inline items is 100; put them into a manifest and give its manifest_key',
    );
    const [large] = batchInputIssues({ items: ['x'.repeat(131_072)] });
    expect(large?.message).toMatch(/^has 131076 bytes, the limit of inline items is 131072/);
    // What is too much does not travel on to a step.
    expect(inlineItems(['x'.repeat(131_072)])).toBeUndefined();
    expect(inlineItems(['x'.repeat(131_068)])).toHaveLength(1);
  });
});

import {
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowFailedError,
} from '@temporalio/client';
import { expect, test } from 'vitest';
import { runSummary } from '../../src/batch/run-summary.js';
import { runErrorOf } from '../../src/client/run-failure.js';
import { batchDetails, staticDetails } from '../../src/client/run-texts.js';
import { problemOf } from '../../src/client/video-run.js';

const failed = (cause: Error) => runErrorOf('video/1', new WorkflowFailedError('failed', cause, 'X' as never));

test('the published failure is found at the bottom of the chain', () => {
  const detail = { type: 'ContentRejected', message: 'refused', code: 'DataInspectionFailed', billed: false };
  const failure = ApplicationFailure.create({ type: 'ContentRejected', message: 'refused', details: [detail] });
  const error = failed(Object.assign(new Error('activity'), { cause: failure }));
  expect(error.error).toEqual(detail);
  expect(error).toMatchObject({ id: 'video/1', cancelled: false, message: 'refused' });
});

test.each([
  { cause: new CancelledFailure('x'), type: 'Cancelled', cancelled: true },
  { cause: new TerminatedFailure('x'), type: 'Terminated', cancelled: false },
  { cause: new TimeoutFailure('x', undefined, 'START_TO_CLOSE'), type: 'TimedOut', cancelled: false },
  { cause: new Error('x'), type: 'Failed', cancelled: false },
  { cause: ApplicationFailure.create({ type: 'Odd', message: 'x' }), type: 'Odd', cancelled: false },
])('a run that ended by $cause is reported as $type', ({ cause, type, cancelled }) => {
  const error = failed(cause);
  expect(error.error.type).toBe(type);
  expect(error.cancelled).toBe(cancelled);
});

const request = { duration: 4, fps: 24, size: '1280*720', reference_image: 'asset:references/x.png' };

test('a summary is one line of at most 200 bytes, cut between characters', () => {
  expect(runSummary({ ...request, prompt: 'a boat\n drifts\u0007' })).toBe('4 s 1280*720: a boat drifts');
  const long = runSummary({ ...request, prompt: '船'.repeat(200) });
  expect(Buffer.byteLength(long)).toBeLessThanOrEqual(200);
  expect(long).toMatch(/^4 s 1280\*720: 船+…$/);
});

test('summary and details hold no signature, no key and no inline image', () => {
  const risky = {
    ...request,
    prompt: 'like https://host/a.png?Signature=s3cret with sk-0123456789',
    reference_image: 'https://user:pass@host/b.png?Expires=1&Signature=s3cret',
    labels: { team: 'film' },
  };
  const text =
    runSummary(risky) +
    staticDetails(risky) +
    staticDetails({ ...risky, reference_image: 'data:image/png;base64,QUJD' });
  expect(text).not.toMatch(/s3cret|sk-0123456789|user:pass|QUJD/);
  expect(text).toContain('- label team: `film`');
  expect(text).toContain('- reference_image: `https://');
});

test('details link to an image that anybody may read, and nothing else in them is markup', () => {
  const details = staticDetails({
    ...request,
    prompt: '# done\n![x](https://host/p.png)',
    reference_image: 'https://host/b.png',
    labels: { 'a|b': '`[x](https://host)`' },
  });
  expect(details).toMatch(/^\\# done !\\\[x\\\]/);
  expect(details).toContain('- reference_image: [https://host/b.png](<https://host/b.png>)');
  expect(details).toContain("- label a\\|b: `'[x](https://host)'`");
});

test('details name the rules of a conform, and how many items a batch was started with', () => {
  const conform = { fps: 24, shape: 'pad' } as const;
  expect(staticDetails({ ...request, prompt: 'a boat', conform })).toContain('- conform: `{"fps":24,"shape":"pad"}`');
  const items = [{ ...request, prompt: 'a boat' }];
  expect(batchDetails({ items, deliver_report: ['csv', 'html'] })).toBe('- deliver_report: `csv,html`\n- items: `1`');
});

const description = (raw: object) => ({ taskQueue: 'video-generate', raw }) as never;
const at = (ms: number) => ({ seconds: Math.floor(ms / 1000), nanos: 0 });

test('a run is unattended when its workflow task waits for longer than any worker would leave it', () => {
  const waiting = description({ pendingWorkflowTask: { state: 1, scheduledTime: at(100_000), attempt: 1 } });
  expect(problemOf(waiting, 104_000)).toBeNull();
  expect(problemOf(waiting, 106_000)).toMatch(/no worker picks it up from the queue video-generate/);
  expect(problemOf(description({ pendingWorkflowTask: { state: 2, scheduledTime: at(0) } }), 106_000)).toBeNull();
});

test('a step that fails and is tried again is reported with its reason', () => {
  const retrying = description({
    pendingActivities: [
      { activityType: { name: 'pollTask' }, attempt: 3, lastFailure: { message: 'The provider is unavailable' } },
    ],
  });
  expect(problemOf(retrying, 0)).toBe('attempt 2 of pollTask failed and is tried again: The provider is unavailable');
  expect(problemOf(description({ pendingActivities: [{ attempt: 1 }] }), 0)).toBeNull();
});

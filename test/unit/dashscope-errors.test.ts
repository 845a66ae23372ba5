import { expect, test } from 'vitest';
import { FailureType as F } from '../../src/contract/failure-type.js';
import { classifyProviderError } from '../../src/dashscope/errors.js';
import { decideSubmitOutcome } from '../../src/dashscope/submit-outcome.js';
import { redactText } from '../../src/net/redact.js';
import { parseRetryAfter } from '../../src/net/retry-after.js';

const NOW = Date.UTC(2026, 2, 1);

test.each<[number, string | undefined, string, F, boolean]>([
  [400, 'InvalidParameter', 'Field required: input.img_url', F.InvalidRequest, false],
  [400, 'InvalidParameter.DataInspection', 'Unable to download', F.InvalidRequest, false],
  [400, 'BadRequest.EmptyInput', '', F.InvalidRequest, false],
  [400, 'BadRequest.EmptyModel', '', F.InvalidRequest, false],
  [400, 'BadRequest.EmptyParameters', '', F.InvalidRequest, false],
  [400, 'BadRequest.IllegalInput', '', F.InvalidRequest, false],
  [400, 'BadRequest.TooLarge', '', F.InvalidRequest, false],
  [400, 'BadRequest.UnsupportedFileFormat', '', F.InvalidRequest, false],
  [400, 'BadRequest.InputDownloadFailed', '', F.ReferenceUnreachable, false],
  [400, 'InvalidURL', '', F.InvalidRequest, false],
  [400, 'InvalidURL.ConnectionRefused', '', F.ReferenceUnreachable, false],
  [400, 'InvalidURL.Timeout', '', F.ReferenceUnreachable, false],
  [400, 'DataInspectionFailed', 'Input data may contain inappropriate content.', F.ContentRejected, false],
  [400, 'IPInfringementSuspect', '', F.ContentRejected, false],
  [400, 'Arrearage', '', F.AccountBlocked, false],
  [400, 'UnsupportedOperation', '', F.InvalidRequest, false],
  [401, 'InvalidApiKey', 'No API-key provided.', F.CredentialsRejected, false],
  [401, 'NOT AUTHORIZED', '', F.CredentialsRejected, false],
  [403, 'AccessDenied', 'Access denied.', F.CredentialsRejected, false],
  [403, 'AccessDenied', 'current user api does not support synchronous calls', F.InvalidRequest, false],
  [403, 'AccessDenied', 'Invalid according to Policy: Policy expired.', F.ProviderUnavailable, true],
  [403, 'AccessDenied.Unpurchased', '', F.AccountBlocked, false],
  [403, 'Model.AccessDenied', '', F.AccountBlocked, false],
  [403, 'Workspace.AccessDenied', '', F.AccountBlocked, false],
  [403, 'AllocationQuota.FreeTierOnly', '', F.AccountBlocked, false],
  [404, 'ModelNotFound', '', F.ConfigurationInvalid, false],
  [404, 'WorkSpaceNotFound', '', F.ConfigurationInvalid, false],
  [404, 'NotFound', '', F.ConfigurationInvalid, false],
  [429, 'Throttling', '', F.ProviderThrottled, true],
  [429, 'Throttling.RateQuota', '', F.ProviderThrottled, true],
  [429, 'LimitRequests', '', F.ProviderThrottled, true],
  [429, 'Throttling.BurstRate', '', F.ProviderThrottled, true],
  [429, 'Throttling.AllocationQuota', 'Allocated quota exceeded', F.ProviderThrottled, true],
  [429, 'Throttling.AllocationQuota', 'Free allocated quota exceeded.', F.AccountBlocked, false],
  [429, 'Throttling.AllocationQuota', 'token-plan 1-week quota has been exhausted', F.AccountBlocked, false],
  [429, 'CommodityNotPurchased', '', F.AccountBlocked, false],
  [429, 'PrepaidBillOverdue', '', F.AccountBlocked, false],
  [429, 'PostpaidBillOverdue', '', F.AccountBlocked, false],
  [500, 'InternalError', '', F.ProviderUnavailable, true],
  [500, 'InternalError.Algo', '', F.ProviderUnavailable, true],
  [500, 'InternalError.Upload', '', F.ProviderUnavailable, true],
  [500, 'InternalError.FileUpload', '', F.ProviderUnavailable, true],
  [500, 'InternalError.Timeout', '', F.ProviderUnavailable, true],
  [500, 'SystemError', '', F.ProviderUnavailable, true],
  [500, 'ModelServiceFailed', '', F.ProviderUnavailable, true],
  [500, 'RequestTimeOut', '', F.ProviderUnavailable, true],
  [500, 'RewriteFailed', '', F.ProviderUnavailable, true],
  [503, 'ModelServingError', '', F.ProviderUnavailable, true],
  [503, 'ModelUnavailable', '', F.ProviderUnavailable, true],
  [502, undefined, '', F.ProviderUnavailable, true],
  [418, 'SomethingNew', '', F.InvalidRequest, false],
])('HTTP %i %s "%s" is %s, retryable %s', (status, code, message, type, retryable) => {
  const error = classifyProviderError({ status, code, message, requestId: 'r' }, 'query');
  expect(error).toMatchObject({ type, retryable, code, requestId: 'r' });
  expect(error.nextStep).toMatch(/\w+ \w+/);
  expect(error.billed).toBeUndefined(); // a refused look says nothing about what was bought before
});

test.each<[Parameters<typeof classifyProviderError>[1], number, false | undefined]>([
  ['submit', 400, false],
  ['submit', 401, false],
  ['submit', 429, false],
  ['submit', 503, false],
  ['submit', 408, undefined],
  ['submit', 500, undefined],
  ['policy', 500, false],
  ['upload', 403, false],
  ['query', 401, undefined],
  ['cancel', 400, undefined],
  ['download', 403, undefined],
])('a %s refused with %i has billed %s', (operation, status, billed) => {
  expect(classifyProviderError({ status, code: 'SomethingNew' }, operation).billed).toBe(billed);
});

test('advice on a refused key names each cause of a 401, with and without an envelope', () => {
  for (const code of [undefined, 'InvalidApiKey', 'invalid_api_key']) {
    const { nextStep } = classifyProviderError({ status: 401, code }, 'query');
    for (const cause of [/region/, /workspace/, /billing plan/]) expect(nextStep).toMatch(cause);
  }
});

test('a FAILED task is never retried by itself, and is free of charge', () => {
  for (const code of [undefined, 'InternalError.Timeout', 'Throttling']) {
    const error = classifyProviderError({ status: 200, code }, 'task');
    expect(error).toMatchObject({ type: F.TaskFailed, retryable: false, billed: false });
  }
  const inspected = classifyProviderError({ status: 200, code: 'DataInspectionFailed' }, 'task');
  expect(inspected).toMatchObject({ type: F.ContentRejected, billed: false });
});

test('a result link that is refused has expired', () => {
  expect(classifyProviderError({ status: 403 }, 'download').type).toBe(F.ResultExpired);
});

test.each([
  ['7', 7_000],
  ['Sun, 01 Mar 2026 00:00:30 GMT', 30_000],
  ['Sat, 28 Feb 2026 23:59:00 GMT', 0],
  ['Tue, 31 Feb 2026 00:00:00 GMT', undefined],
  ['-1', undefined],
  [undefined, undefined],
])('Retry-After %s is %s ms', (value, delay) => {
  expect(parseRetryAfter(value, NOW)).toBe(delay);
});

test('text is cleared of keys, signed queries, users and inline images', () => {
  const text = 'k=topsecret sk-abcdef123456 https://u:p@h/a.mp4?Expires=1&Signature=x data:image/png;base64,AAAA';
  expect(redactText(text, ['topsecret'])).toBe(
    'k=[secret] [secret] https://[redacted]@h/a.mp4?[redacted] data:[redacted]',
  );
});

const refused = (code: string) => ({ code, message: 'm', request_id: 'r' });
test.each<[string, Parameters<typeof decideSubmitOutcome>[0], string, F | undefined]>([
  [
    'a task id',
    { bodyPulled: true, answer: { status: 200, json: { output: { task_id: 't' } } } },
    'accepted',
    undefined,
  ],
  [
    '400 of the provider',
    { bodyPulled: true, answer: { status: 400, json: refused('InvalidParameter') } },
    'rejected',
    F.InvalidRequest,
  ],
  [
    '401 of the provider',
    { bodyPulled: true, answer: { status: 401, json: refused('InvalidApiKey') } },
    'rejected',
    F.CredentialsRejected,
  ],
  [
    '408 of the provider',
    { bodyPulled: true, answer: { status: 408, json: refused('RequestTimeOut') } },
    'unknown',
    F.SubmitOutcomeUnknown,
  ],
  [
    '429 of the provider',
    { bodyPulled: true, answer: { status: 429, json: refused('Throttling') } },
    'not_sent',
    F.ProviderThrottled,
  ],
  [
    '429 about the bill',
    { bodyPulled: true, answer: { status: 429, json: refused('PostpaidBillOverdue') } },
    'rejected',
    F.AccountBlocked,
  ],
  [
    '503 of the provider',
    { bodyPulled: true, answer: { status: 503, json: refused('ModelUnavailable') } },
    'not_sent',
    F.ProviderUnavailable,
  ],
  ['429 of a gateway', { bodyPulled: true, answer: { status: 429, json: undefined } }, 'not_sent', F.ProviderThrottled],
  [
    '500 of the provider',
    { bodyPulled: true, answer: { status: 500, json: refused('InternalError') } },
    'unknown',
    F.SubmitOutcomeUnknown,
  ],
  ['502', { bodyPulled: true, answer: { status: 502, json: undefined } }, 'unknown', F.SubmitOutcomeUnknown],
  ['504', { bodyPulled: true, answer: { status: 504, json: undefined } }, 'unknown', F.SubmitOutcomeUnknown],
  ['200 unreadable', { bodyPulled: true, answer: { status: 200, json: undefined } }, 'unknown', F.SubmitOutcomeUnknown],
  ['a reset after sending', { bodyPulled: true, fault: 'ECONNRESET' }, 'unknown', F.SubmitOutcomeUnknown],
  ['a fault before sending', { bodyPulled: false, fault: 'ECONNREFUSED' }, 'not_sent', F.ProviderUnavailable],
])('a submit with %s is decided', (_why, seen, kind, type) => {
  const outcome = decideSubmitOutcome(seen);
  expect(outcome.kind).toBe(kind);
  if (outcome.kind === 'accepted') return;
  expect(outcome.error.type).toBe(type);
  expect(outcome.error.retryable).toBe(kind === 'not_sent');
  expect(outcome.error.billed).toBe(kind === 'unknown' ? undefined : false);
});

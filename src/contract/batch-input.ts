import { BATCH_ITEMS_BYTES_MAX, BATCH_ITEMS_MAX, BATCH_WINDOW_MAX, type VideoBatchInput } from './batch.js';
import { INPUT_DEPTH_MAX, ISSUE_PATH_MAX, isDeeperThan, MANIFEST_WAIT_SECONDS_MAX } from './bounds.js';
import { DELIVERY_REPORTS, deliveryPatternFaults } from './delivery.js';
import { firstIssues } from './issues.js';
import type { JsonSchema } from './request-fields.js';
import { cleanText } from './safe-text.js';
import type { Issue } from './video-error.js';
import { RECEIVER_FAULT, RECEIVER_NAME } from './webhook.js';

/** Characters of a key, a name or an id. */
const TEXT_MAX = 500;

/** Rules of one field: a check that returns the faults of a value, and the same as JSON Schema. */
interface Field {
  readonly check: (value: unknown) => string | readonly string[] | undefined;
  readonly schema: Readonly<Record<string, unknown>>;
}

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const text: Field = {
  check: (value) => {
    if (typeof value !== 'string' || value === '') return 'must be text';
    return value.length <= TEXT_MAX && cleanText(value) === value
      ? undefined
      : `must be one line of at most ${TEXT_MAX} printable characters`;
  },
  schema: { type: 'string', minLength: 1, maxLength: TEXT_MAX },
};
const wholeNumber = (maximum: number): Field => ({
  check: (value) =>
    isNumber(value) && Number.isInteger(value) && value >= 1 && value <= maximum
      ? undefined
      : `must be a whole number from 1 to ${maximum}`,
  schema: { type: 'integer', minimum: 1, maximum },
});

const FIELDS: Readonly<Record<keyof VideoBatchInput, Field>> = {
  manifest_key: text,
  items: {
    check: itemsFault,
    schema: { type: 'array', minItems: 1, maxItems: BATCH_ITEMS_MAX, items: { type: 'object' } },
  },
  window: wholeNumber(BATCH_WINDOW_MAX),
  allow_invalid: {
    check: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
    schema: { type: 'boolean' },
  },
  manifest_wait_seconds: {
    check: (value) =>
      isNumber(value) && value >= 0 && value <= MANIFEST_WAIT_SECONDS_MAX
        ? undefined
        : `must be a number of seconds from 0 to ${MANIFEST_WAIT_SECONDS_MAX}`,
    schema: { type: 'number', minimum: 0, maximum: MANIFEST_WAIT_SECONDS_MAX },
  },
  timezone: text,
  retry_of: text,
  // Far above the default, and below Temporal's limit of events in one run.
  page_items: wholeNumber(1_000),
  schedule_id: text,
  pause_when_failed_above: {
    check: (value) =>
      isNumber(value) && value >= 0 && value < 1 ? undefined : 'must be a share from 0 to below 1, such as 0.25',
    schema: { type: 'number', minimum: 0, exclusiveMaximum: 1 },
  },
  schedule_paused_at: {
    check: (value) => (typeof value === 'string' && MOMENT.test(value) ? undefined : 'must be a time in ISO 8601, UTC'),
    schema: { type: 'string', pattern: MOMENT.source },
  },
  deliver: { check: deliveryPatternFaults, schema: { type: 'string', minLength: 1, maxLength: TEXT_MAX } },
  receiver: {
    check: (value) => (typeof value === 'string' && RECEIVER_NAME.test(value) ? undefined : RECEIVER_FAULT),
    schema: { type: 'string', pattern: RECEIVER_NAME.source },
  },
  deliver_report: {
    check: (value) =>
      Array.isArray(value) && value.length > 0 && value.every((one) => DELIVERY_REPORTS.includes(one))
        ? undefined
        : `must be a list of some of ${DELIVERY_REPORTS.join(', ')}`,
    schema: { type: 'array', minItems: 1, items: { enum: DELIVERY_REPORTS } },
  },
};

/**
 * Lists every fault of the input of a batch, each with its field. The manifest or the items are checked later, when the
 * batch is opened. A null field counts as absent. The function does without zod, which the workflow sandbox must not
 * load.
 */
export function batchInputIssues(input: unknown): Issue[] {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return [{ path: '', message: 'must be one JSON object with manifest_key or items' }];
  }
  if (isDeeperThan(INPUT_DEPTH_MAX, input)) return [{ path: '', message: 'is nested too deeply' }];
  const given = Object.entries(input).filter(([, value]) => value !== undefined && value !== null);
  const issues = given.flatMap(([path, value]): Issue[] => {
    const faults = Object.hasOwn(FIELDS, path)
      ? FIELDS[path as keyof VideoBatchInput].check(value)
      : 'is not a field of a batch';
    return [faults ?? []].flat().map((message) => ({ path: cleanText(path, ISSUE_PATH_MAX), message }));
  });
  const names = given.map(([name]) => name);
  if (names.includes('manifest_key') && names.includes('items')) {
    issues.push({ path: 'items', message: 'cannot be combined with manifest_key; leave one of them out' });
  } else if (!names.includes('manifest_key') && !names.includes('items')) {
    issues.push({ path: 'manifest_key', message: 'is missing; name a manifest in the store, or give items' });
  }
  if (names.includes('deliver_report') && !names.includes('deliver')) {
    issues.push({ path: 'deliver_report', message: 'needs deliver, which says where to write them' });
  }
  return [...firstIssues(issues)];
}

/** The input of a batch as JSON Schema: the same rules, for callers in any language. */
export function batchInputJsonSchema(): JsonSchema {
  const isGiven = (name: keyof VideoBatchInput) => ({
    required: [name],
    properties: { [name]: { not: { type: 'null' } } },
  });
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'The input of videoBatch',
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(FIELDS).map(([name, { schema }]) => [name, { anyOf: [schema, { type: 'null' }] }]),
    ),
    additionalProperties: false,
    oneOf: [isGiven('manifest_key'), isGiven('items')],
  };
}

/** The inline items, if they are a list that fits into the input of a step. */
export function inlineItems(value: unknown): readonly unknown[] | undefined {
  const isBounded = Array.isArray(value) && !isDeeperThan(INPUT_DEPTH_MAX, value);
  return isBounded && itemsFault(value) === undefined ? value : undefined;
}

function itemsFault(value: unknown): string | undefined {
  const instead = 'put them into a manifest and give its manifest_key';
  if (!Array.isArray(value) || value.length === 0) return 'must be a list of requests, at least one';
  if (value.length > BATCH_ITEMS_MAX)
    return `has ${value.length} items, the limit of inline items is ${BATCH_ITEMS_MAX}; ${instead}`;
  const bytes = new TextEncoder().encode(JSON.stringify(value)).length;
  return bytes <= BATCH_ITEMS_BYTES_MAX
    ? undefined
    : `has ${bytes} bytes, the limit of inline items is ${BATCH_ITEMS_BYTES_MAX}; ${instead}`;
}

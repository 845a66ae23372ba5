import { ATTRIBUTE_BYTES_MAX, bytesOf, DEADLINE_SECONDS_MAX } from './bounds.js';
import { CONFORM_SCHEMA, conformFaults } from './conform.js';
import { LIMITS, MODEL, SIZES } from './model.js';
import type { VideoRequest } from './request.js';
import { cleanText } from './safe-text.js';
import { labelTexts } from './search-attributes.js';
import type { Issue } from './video-error.js';
import { RECEIVER_FAULT, RECEIVER_NAME } from './webhook.js';

/** A part of a JSON Schema (draft 2020-12). */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Rules of one field: how its values are checked, and the same as JSON Schema. */
interface Field {
  /** Message for a request without the field; absent: the field is optional, and `null` counts as absent. */
  readonly missing?: string;
  readonly schema: JsonSchema;
  /** Returns the fault of a value, or several with their paths below the field; undefined for a good one. */
  readonly check: (value: unknown) => string | readonly Issue[] | undefined;
}

/** A text that a picture may be described by: no control character but tabs and line breaks, no half of a pair. */
const TEXT = /^(?:[\t\n\r]|[^\p{Cc}\p{Cs}])*$/u;
/** A name or a value of one line, that is shown, indexed and searched for. */
const LINE = /^[^\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069]*$/u;
/** A name that can be kept: every object has a member of the one that is left out. */
const LABEL_NAME = new RegExp(
  `^(?!__proto__$)[^\\p{Cc}\\p{Zl}\\p{Zp}\\p{Cs}\\u202a-\\u202e\\u2066-\\u2069]{1,${LIMITS.labelNameMax}}$`,
  'u',
);
const HAS_UNPRINTABLE = 'holds a control character, a direction mark or half of a surrogate pair; remove it';

/** References that the input of a workflow may hold; client and command stage local images before. */
const REFERENCE = /^(https?:\/\/|asset:|oss:\/\/|data:image\/)/;
/** Red, green and blue. */
const COLOUR = /^#[0-9a-fA-F]{6}$/;
const SOUND = /^(https?|oss):\/\//;
/** An address that is handed over as it is must not be readable on the way. */
const HTTPS = /^https:\/\//;

/** What labels are, for the message about others. */
export const LABELS_KIND = 'must be an object of text values, such as {"season":"spring"}';
const SUPPORTED_SIZES = Object.keys(SIZES).join(', ');
const DURATION = `a whole number of seconds from ${LIMITS.durationMin} to ${LIMITS.durationMax}`;
const FPS = `frames per second from ${LIMITS.fpsMin} to ${LIMITS.fpsMax}`;
const SEED = `a whole number from 0 to ${LIMITS.seedMax}`;
const DEADLINE = 'a number of seconds';

/** Rules of a text; its rules are checked in their order, up to the first fault. */
const text = (schema: JsonSchema, ...rules: readonly ((value: string) => string | false)[]): Field => ({
  schema: { type: 'string', ...schema },
  check: (value) => {
    if (typeof value !== 'string') return 'must be text';
    for (const rule of rules) {
      const fault = rule(value);
      if (fault !== false) return fault;
    }
    return undefined;
  },
});

const isPrintable = (pattern: RegExp) => (value: string) => !pattern.test(value) && HAS_UNPRINTABLE;
const isShort = (max: number) => (value: string) => value.length > max && `must have at most ${max} characters`;

/** A text that the provider would truncate silently. */
const isDescription = (max: number) => (value: string) => {
  // A character has at most two code units, so a text above twice the limit need not be taken apart.
  const length = value.length > 2 * max ? value.length : [...value].length;
  return (
    length > max &&
    `has ${length} characters; the provider would truncate it silently, so shorten it to ${max} or fewer`
  );
};

const number = (what: string, schema: JsonSchema, fault: (value: number) => string | undefined): Field => ({
  schema: { type: 'number', ...schema },
  check: (value) =>
    typeof value === 'number' && Number.isFinite(value) ? fault(value) : `must be a number: give ${what}`,
});

const wholeNumber = (range: string, minimum: number, maximum: number): Field =>
  number(range, { type: 'integer', minimum, maximum }, (value) =>
    Number.isInteger(value) && value >= minimum && value <= maximum ? undefined : `must be ${range}`,
  );

const trueOrFalse: Field = {
  schema: { type: 'boolean' },
  check: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
};

/** One of a few words. */
const oneOf = (...words: readonly string[]): Field => ({
  schema: { type: 'string', enum: words },
  check: (value) =>
    words.includes(value as string) ? undefined : `must be ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`,
});

/** The rules of each field; a parsed request has its fields in this order. */
const FIELDS: Readonly<Record<keyof VideoRequest, Field>> = {
  model: {
    schema: { type: 'string', const: MODEL },
    check: (value) => (value === MODEL ? undefined : `must be exactly ${MODEL}, or be omitted`),
  },
  prompt: {
    ...text(
      { maxLength: LIMITS.promptMax, pattern: `^(?=[^]*\\S)${TEXT.source.slice(1)}` },
      isDescription(LIMITS.promptMax),
      isPrintable(TEXT),
      (value) => value.trim() === '' && 'is empty: describe the motion you want',
    ),
    missing: 'is required: give the prompt as text',
  },
  negative_prompt: text(
    { maxLength: LIMITS.negativePromptMax, pattern: TEXT.source },
    isDescription(LIMITS.negativePromptMax),
    isPrintable(TEXT),
  ),
  duration: {
    ...wholeNumber(DURATION, LIMITS.durationMin, LIMITS.durationMax),
    missing: `is required: give ${DURATION}`,
  },
  fps: {
    ...number(FPS, { minimum: LIMITS.fpsMin, maximum: LIMITS.fpsMax }, (value) =>
      value >= LIMITS.fpsMin && value <= LIMITS.fpsMax ? undefined : `must be ${FPS}`,
    ),
    missing: `is required: give ${FPS}`,
  },
  size: {
    schema: { type: 'string', enum: Object.keys(SIZES).flatMap((size) => [size, size.replace('*', 'x')]) },
    check: (value) => {
      if (typeof value !== 'string') return 'must be text such as 1280*720';
      const isSupported = Object.hasOwn(SIZES, value.replace('x', '*'));
      return isSupported ? undefined : `is not supported; use one of ${SUPPORTED_SIZES}`;
    },
    missing: `is required: give one of ${SUPPORTED_SIZES}`,
  },
  seed: wholeNumber(SEED, 0, LIMITS.seedMax),
  reference_image: {
    ...text(
      { pattern: REFERENCE.source },
      (value) =>
        !REFERENCE.test(value) &&
        'must be an http(s) URL, an asset: reference, an oss:// URL or a data: URI of an image; stage a local file ' +
          'first',
      (value) =>
        !value.startsWith('data:') &&
        value.length > LIMITS.urlMax &&
        `must have at most ${LIMITS.urlMax} characters, unless it is a data: URI`,
      (value) =>
        value.startsWith('data:') &&
        (value.length * 3) / 4 > LIMITS.dataUriBytesMax + 128 &&
        `is a data: URI above ${LIMITS.dataUriBytesMax} bytes; stage the file and give its asset: reference`,
    ),
    missing: 'is required: give an http(s) URL, an asset: reference, an oss:// URL or a data: URI of an image',
  },
  reference_upload: oneOf('provider', 'as_is'),
  reference_fit: oneOf('adapt', 'strict'),
  reference_background: text(
    { pattern: COLOUR.source },
    (value) => !COLOUR.test(value) && 'must be a colour such as #ffffff',
  ),
  motion_strength: number('a number', {}, () => undefined),
  audio: trueOrFalse,
  audio_url: text(
    { maxLength: LIMITS.urlMax, pattern: SOUND.source },
    isShort(LIMITS.urlMax),
    (value) => !SOUND.test(value) && 'must be an http(s) or oss:// URL',
  ),
  prompt_extend: trueOrFalse,
  shot_type: oneOf('single', 'multi'),
  watermark: trueOrFalse,
  conform: { schema: CONFORM_SCHEMA, check: conformFaults },
  poster: trueOrFalse,
  cache: oneOf('use', 'refresh', 'off'),
  deadline_seconds: number(DEADLINE, { exclusiveMinimum: 0, maximum: DEADLINE_SECONDS_MAX }, (value) => {
    if (value <= 0) return 'must be above 0';
    return value <= DEADLINE_SECONDS_MAX ? undefined : `must be at most ${DEADLINE_SECONDS_MAX}, which is 30 days`;
  }),
  tenant: text(
    { minLength: 1, maxLength: LIMITS.tenantMax, pattern: LINE.source },
    (value) => value === '' && 'must not be empty',
    isShort(LIMITS.tenantMax),
    isPrintable(LINE),
  ),
  labels: {
    schema: {
      type: 'object',
      propertyNames: { type: 'string', pattern: LABEL_NAME.source },
      additionalProperties: { type: 'string', pattern: LINE.source },
      maxProperties: LIMITS.labelsMax,
    },
    check: labelFaults,
  },
  receiver: text({ pattern: RECEIVER_NAME.source }, (value) => !RECEIVER_NAME.test(value) && RECEIVER_FAULT),
};

/** Names of the fields, in the order of a parsed request. */
export const REQUEST_FIELDS = Object.keys(FIELDS) as readonly (keyof VideoRequest)[];

/** Lists the faults of one field. An absent one is `undefined`, and an optional one may be null. */
export function fieldIssues(name: keyof VideoRequest, value: unknown): readonly Issue[] {
  const { missing, check } = FIELDS[name];
  if (value === undefined) return missing === undefined ? [] : [{ path: name, message: missing }];
  if (value === null && missing === undefined) return [];
  const fault = check(value);
  if (fault === undefined) return [];
  if (typeof fault === 'string') return [{ path: name, message: fault }];
  return fault.map(({ path, message }) => ({ path: path === '' ? name : `${name}.${path}`, message }));
}

/** Lists the faults of fields that are right each, and exclude one another. */
export function conflictIssues({
  audio,
  audio_url,
  reference_upload,
  reference_image,
}: Pick<VideoRequest, 'audio' | 'audio_url' | 'reference_upload' | 'reference_image'>): readonly Issue[] {
  const issues: Issue[] = [];
  if (audio === false && audio_url !== undefined) {
    issues.push({ path: 'audio', message: 'is false although audio_url is given; leave one of them out' });
  }
  if (reference_upload === 'as_is' && !HTTPS.test(reference_image)) {
    const message =
      'is as_is, so the provider fetches the image itself: give a public https:// URL as reference_image, or leave ' +
      'reference_upload out';
    issues.push({ path: 'reference_upload', message });
  }
  return issues;
}

/** The request of `videoGenerate` as JSON Schema: the same rules, for callers in any language. */
export function requestJsonSchema(): JsonSchema {
  const properties = Object.entries(FIELDS).map(([name, { schema, missing }]) => [
    name,
    missing === undefined ? { anyOf: [schema, { type: 'null' }] } : schema,
  ]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A request of videoGenerate',
    type: 'object',
    properties: Object.fromEntries(properties),
    required: Object.entries(FIELDS).flatMap(([name, { missing }]) => (missing === undefined ? [] : [name])),
    additionalProperties: false,
    if: { required: ['reference_upload'], properties: { reference_upload: { const: 'as_is' } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
    then: { properties: { reference_image: { type: 'string', pattern: HTTPS.source } } },
    not: { required: ['audio', 'audio_url'], properties: { audio: { const: false } } },
  };
}

/** The faults of labels: each of their values, and what they are as a whole, as one search attribute. */
function labelFaults(labels: unknown): string | readonly Issue[] | undefined {
  if (typeof labels !== 'object' || labels === null) return LABELS_KIND;
  const { length } = Object.keys(labels);
  if (length > LIMITS.labelsMax) return `has ${length} labels; leave out all but ${LIMITS.labelsMax}`;
  const issues = Object.entries(labels).flatMap(([path, value]): readonly Issue[] => {
    if (typeof value !== 'string') return [{ path, message: 'must be text' }];
    return LINE.test(value) ? [] : [{ path, message: HAS_UNPRINTABLE }];
  });
  if (issues.length > 0) return issues;
  const odd = Object.keys(labels).find((name) => !LABEL_NAME.test(name));
  if (odd !== undefined) {
    const name = cleanText(odd, LIMITS.labelNameMax);
    return `has the name "${name}"; a name has 1 to ${LIMITS.labelNameMax} printable characters`;
  }
  const bytes = bytesOf(JSON.stringify(labelTexts(labels as Record<string, string>)));
  if (bytes <= ATTRIBUTE_BYTES_MAX) return undefined;
  return (
    `has ${bytes} bytes; Temporal indexes at most ${ATTRIBUTE_BYTES_MAX}: shorten names and values, ` +
    'or leave some out'
  );
}

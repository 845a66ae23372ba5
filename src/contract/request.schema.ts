import { z } from 'zod';
import { ATTRIBUTE_BYTES_MAX, bytesOf, DEADLINE_SECONDS_MAX } from './bounds.js';
import { LIMITS, MODEL, SIZES } from './model.js';
import { cleanText } from './safe-text.js';
import { labelTexts } from './search-attributes.js';

const supportedSizes = Object.keys(SIZES).join(', ');

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

const characters = (max: number, name: string) =>
  z
    .string({
      error: (issue) => (issue.input === undefined ? `is required: give the ${name} as text` : 'must be text'),
    })
    .superRefine((value, context) => {
      // A character has at most two code units, so a text above twice the limit need not be taken apart.
      const length = value.length > 2 * max ? value.length : [...value].length;
      if (length > max) {
        context.addIssue({
          code: 'custom',
          message:
            `has ${length} characters; the provider would truncate it silently, ` + `so shorten it to ${max} or fewer`,
        });
      } else if (!TEXT.test(value)) context.addIssue({ code: 'custom', message: HAS_UNPRINTABLE });
    });

const line = z.string({ error: 'must be text' }).regex(LINE, { error: HAS_UNPRINTABLE });

const number = (what: string) =>
  z.number({
    error: (issue) => (issue.input === undefined ? `is required: give ${what}` : `must be a number: give ${what}`),
  });

const durationRange = `a whole number of seconds from ${LIMITS.durationMin} to ${LIMITS.durationMax}`;
const fpsRange = `frames per second from ${LIMITS.fpsMin} to ${LIMITS.fpsMax}`;
const seedRange = `a whole number from 0 to ${LIMITS.seedMax}`;

/** An optional field. `null` counts as absent, because that is what callers in other languages send. */
const optional = <T extends z.ZodType>(field: T) =>
  field
    .nullable()
    .transform((value) => value ?? undefined)
    .optional();

/** Red, green and blue. */
const COLOUR = /^#[0-9a-fA-F]{6}$/;

/** References that the input of a workflow may hold; client and command stage local images before. */
const REFERENCE = /^(https?:\/\/|asset:|oss:\/\/|data:image\/)/;

/** An address that is handed over as it is must not be readable on the way. */
const HTTPS = /^https:\/\//;

/** The request of `videoGenerate`, with the specification's names and this product's extensions. */
export const videoRequestSchema = z
  .strictObject(
    {
      model: optional(z.literal(MODEL, { error: `must be exactly ${MODEL}, or be omitted` })),
      prompt: characters(LIMITS.promptMax, 'prompt')
        .refine((value) => value.trim() !== '', { error: 'is empty: describe the motion you want' })
        .meta({ maxLength: LIMITS.promptMax, pattern: `^(?=[^]*\\S)${TEXT.source.slice(1)}` }),
      negative_prompt: optional(
        characters(LIMITS.negativePromptMax, 'negative prompt').meta({
          maxLength: LIMITS.negativePromptMax,
          pattern: TEXT.source,
        }),
      ),
      duration: number(durationRange)
        .refine((value) => Number.isInteger(value) && value >= LIMITS.durationMin && value <= LIMITS.durationMax, {
          error: `must be ${durationRange}`,
        })
        .meta({ type: 'integer', minimum: LIMITS.durationMin, maximum: LIMITS.durationMax }),
      fps: number(fpsRange)
        .min(LIMITS.fpsMin, { error: `must be ${fpsRange}` })
        .max(LIMITS.fpsMax, { error: `must be ${fpsRange}` }),
      size: z
        .string({
          error: (issue) =>
            issue.input === undefined ? `is required: give one of ${supportedSizes}` : 'must be text such as 1280*720',
        })
        .refine((value) => Object.hasOwn(SIZES, value.replace('x', '*')), {
          error: `is not supported; use one of ${supportedSizes}`,
        })
        .meta({ enum: Object.keys(SIZES).flatMap((size) => [size, size.replace('*', 'x')]) }),
      seed: optional(
        number(seedRange)
          .refine((value) => Number.isInteger(value) && value >= 0 && value <= LIMITS.seedMax, {
            error: `must be ${seedRange}`,
          })
          .meta({ type: 'integer', minimum: 0, maximum: LIMITS.seedMax }),
      ),
      reference_image: z
        .string({
          error: (issue) =>
            issue.input === undefined
              ? 'is required: give an http(s) URL, an asset: reference, an oss:// URL or a data: URI of an image'
              : 'must be text',
        })
        .refine((value) => REFERENCE.test(value), {
          error:
            'must be an http(s) URL, an asset: reference, an oss:// URL or a data: URI of an image; stage a ' +
            'local file first',
        })
        .refine((value) => value.startsWith('data:') || value.length <= LIMITS.urlMax, {
          error: `must have at most ${LIMITS.urlMax} characters, unless it is a data: URI`,
        })
        .refine((value) => !value.startsWith('data:') || (value.length * 3) / 4 <= LIMITS.dataUriBytesMax + 128, {
          error: `is a data: URI above ${LIMITS.dataUriBytesMax} bytes; stage the file and give its asset: reference`,
        })
        .meta({ pattern: REFERENCE.source }),
      reference_upload: optional(z.enum(['provider', 'as_is'], { error: 'must be provider or as_is' })),
      reference_fit: optional(z.enum(['adapt', 'strict'], { error: 'must be adapt or strict' })),
      reference_background: optional(
        z.string({ error: 'must be text' }).regex(COLOUR, { error: 'must be a colour such as #ffffff' }),
      ),
      motion_strength: optional(number('a number')),
      audio: optional(z.boolean({ error: 'must be true or false' })),
      audio_url: optional(
        z
          .string({ error: 'must be text' })
          .max(LIMITS.urlMax, { error: `must have at most ${LIMITS.urlMax} characters` })
          .regex(/^(https?|oss):\/\//, { error: 'must be an http(s) or oss:// URL' }),
      ),
      prompt_extend: optional(z.boolean({ error: 'must be true or false' })),
      shot_type: optional(z.enum(['single', 'multi'], { error: 'must be single or multi' })),
      watermark: optional(z.boolean({ error: 'must be true or false' })),
      cache: optional(z.enum(['use', 'refresh', 'off'], { error: 'must be use, refresh or off' })),
      deadline_seconds: optional(
        number('a number of seconds')
          .positive({ error: 'must be above 0' })
          .max(DEADLINE_SECONDS_MAX, { error: `must be at most ${DEADLINE_SECONDS_MAX}, which is 30 days` }),
      ),
      tenant: optional(
        line
          .min(1, { error: 'must not be empty' })
          .max(LIMITS.tenantMax, { error: `must have at most ${LIMITS.tenantMax} characters` }),
      ),
      labels: optional(
        z
          .record(z.string(), line, {
            error: 'must be an object of text values, such as {"season":"spring"}',
          })
          .superRefine((labels, context) => {
            for (const message of labelFaults(labels)) context.addIssue({ code: 'custom', message });
          })
          .meta({ maxProperties: LIMITS.labelsMax, propertyNames: { type: 'string', pattern: LABEL_NAME.source } }),
      ),
    },
    {
      error: (issue) =>
        issue.code === 'invalid_type' ? 'must be one JSON object with the fields of videoGenerate' : undefined,
    },
  )
  .superRefine((request, context) => {
    if (request.audio === false && request.audio_url !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['audio'],
        message: 'is false although audio_url is given; leave one of them out',
      });
    }
  })
  .superRefine(({ reference_upload, reference_image }, context) => {
    if (reference_upload === 'as_is' && !HTTPS.test(reference_image)) {
      context.addIssue({
        code: 'custom',
        path: ['reference_upload'],
        message:
          'is as_is, so the provider fetches the image itself: give a public https:// URL as reference_image, or ' +
          'leave reference_upload out',
      });
    }
  })
  // The rules above as JSON Schema.
  .meta({
    title: 'A request of videoGenerate',
    if: { required: ['reference_upload'], properties: { reference_upload: { const: 'as_is' } } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
    then: { properties: { reference_image: { type: 'string', pattern: HTTPS.source } } },
    not: { required: ['audio', 'audio_url'], properties: { audio: { const: false } } },
  });

/** The faults of labels as a whole: their names, and what they are as one search attribute. */
function labelFaults(labels: Readonly<Record<string, string>>): string[] {
  const odd = Object.keys(labels).find((name) => !LABEL_NAME.test(name));
  if (odd !== undefined) {
    const name = cleanText(odd, LIMITS.labelNameMax);
    return [`has the name "${name}"; a name has 1 to ${LIMITS.labelNameMax} printable characters`];
  }
  const bytes = bytesOf(JSON.stringify(labelTexts(labels)));
  if (bytes <= ATTRIBUTE_BYTES_MAX) return [];
  return [
    `has ${bytes} bytes; Temporal indexes at most ${ATTRIBUTE_BYTES_MAX}: shorten names and values, or leave some out`,
  ];
}

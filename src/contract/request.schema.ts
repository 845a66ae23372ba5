import { z } from 'zod';
import { LIMITS, MODEL, SIZES } from './model.js';

const supportedSizes = Object.keys(SIZES).join(', ');

const characters = (max: number, name: string) =>
  z
    .string({
      error: (issue) => (issue.input === undefined ? `is required: give the ${name} as text` : 'must be text'),
    })
    .superRefine((value, context) => {
      const length = [...value].length;
      if (length > max) {
        context.addIssue({
          code: 'custom',
          message:
            `has ${length} characters; the provider would truncate it silently, ` + `so shorten it to ${max} or fewer`,
        });
      }
    });

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

/** References that the input of a workflow may hold; client and command stage local images before. */
const REFERENCE = /^(https?:\/\/|asset:|oss:\/\/|data:image\/)/;

/** The request of `videoGenerate`, with the specification's names and this product's extensions. */
export const videoRequestSchema = z
  .strictObject(
    {
      model: optional(z.literal(MODEL, { error: `must be exactly ${MODEL}, or be omitted` })),
      prompt: characters(LIMITS.promptMax, 'prompt')
        .refine((value) => value.trim() !== '', { error: 'is empty: describe the motion you want' })
        .meta({ maxLength: LIMITS.promptMax, pattern: '\\S' }),
      negative_prompt: optional(
        characters(LIMITS.negativePromptMax, 'negative prompt').meta({ maxLength: LIMITS.negativePromptMax }),
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
        .refine((value) => !value.startsWith('data:') || (value.length * 3) / 4 <= LIMITS.dataUriBytesMax + 128, {
          error: `is a data: URI above ${LIMITS.dataUriBytesMax} bytes; stage the file and give its asset: reference`,
        })
        .meta({ pattern: REFERENCE.source }),
      motion_strength: optional(number('a number')),
      audio: optional(z.boolean({ error: 'must be true or false' })),
      audio_url: optional(
        z.string({ error: 'must be text' }).regex(/^(https?|oss):\/\//, { error: 'must be an http(s) or oss:// URL' }),
      ),
      prompt_extend: optional(z.boolean({ error: 'must be true or false' })),
      shot_type: optional(z.enum(['single', 'multi'], { error: 'must be single or multi' })),
      watermark: optional(z.boolean({ error: 'must be true or false' })),
      cache: optional(z.enum(['use', 'refresh', 'off'], { error: 'must be use, refresh or off' })),
      deadline_seconds: optional(number('a number of seconds').positive({ error: 'must be above 0' })),
      tenant: optional(
        z
          .string({ error: 'must be text' })
          .min(1, { error: 'must not be empty' })
          .max(64, { error: 'must have at most 64 characters' }),
      ),
      labels: optional(
        z.record(z.string(), z.string({ error: 'must be text' }), {
          error: 'must be an object of text values, such as {"season":"spring"}',
        }),
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
  // The rule above as JSON Schema.
  .meta({
    title: 'A request of videoGenerate',
    not: { required: ['audio', 'audio_url'], properties: { audio: { const: false } } },
  });

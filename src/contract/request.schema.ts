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
          message: `has ${length} characters; the provider would cut it silently, so shorten it to ${max} or fewer`,
        });
      }
    });

const number = (what: string) =>
  z.number({
    error: (issue) => (issue.input === undefined ? `is required: give ${what}` : `must be a number: give ${what}`),
  });

const seconds = `a whole number of seconds from ${LIMITS.durationMin} to ${LIMITS.durationMax}`;
const rate = `frames per second from ${LIMITS.fpsMin} to ${LIMITS.fpsMax}`;
const seeds = `a whole number from 0 to ${LIMITS.seedMax}`;

/** An optional field. `null` says the same as leaving it out, because that is what callers in other languages send. */
const mayBeLeftOut = <T extends z.ZodType>(field: T) =>
  field
    .nullable()
    .transform((value) => value ?? undefined)
    .optional();

/** How a workflow's input may name its image; local paths and bytes are staged by client and command. */
const REFERENCE = /^(https?:\/\/|asset:|oss:\/\/|data:image\/)/;

/** The request of `video.generate`, with the specification's names and this product's extensions. */
export const videoRequestSchema = z
  .strictObject(
    {
      model: mayBeLeftOut(z.literal(MODEL, { error: `must be exactly ${MODEL}, or be left out` })),
      prompt: characters(LIMITS.promptMax, 'prompt')
        .refine((value) => value.trim() !== '', { error: 'is empty: describe the motion you want' })
        .meta({ maxLength: LIMITS.promptMax, pattern: '\\S' }),
      negative_prompt: mayBeLeftOut(
        characters(LIMITS.negativePromptMax, 'negative prompt').meta({ maxLength: LIMITS.negativePromptMax }),
      ),
      duration: number(seconds)
        .refine((value) => Number.isInteger(value) && value >= LIMITS.durationMin && value <= LIMITS.durationMax, {
          error: `must be ${seconds}`,
        })
        .meta({ type: 'integer', minimum: LIMITS.durationMin, maximum: LIMITS.durationMax }),
      fps: number(rate)
        .min(LIMITS.fpsMin, { error: `must be ${rate}` })
        .max(LIMITS.fpsMax, { error: `must be ${rate}` }),
      size: z
        .string({
          error: (issue) =>
            issue.input === undefined ? `is required: give one of ${supportedSizes}` : 'must be text such as 1280*720',
        })
        .refine((value) => Object.hasOwn(SIZES, value.replace('x', '*')), {
          error: `is not supported; use one of ${supportedSizes}`,
        })
        .meta({ enum: Object.keys(SIZES).flatMap((size) => [size, size.replace('*', 'x')]) }),
      seed: mayBeLeftOut(
        number(seeds)
          .refine((value) => Number.isInteger(value) && value >= 0 && value <= LIMITS.seedMax, {
            error: `must be ${seeds}`,
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
      motion_strength: mayBeLeftOut(number('a number')),
      audio: mayBeLeftOut(z.boolean({ error: 'must be true or false' })),
      audio_url: mayBeLeftOut(
        z.string({ error: 'must be text' }).regex(/^(https?|oss):\/\//, { error: 'must be an http(s) or oss:// URL' }),
      ),
      prompt_extend: mayBeLeftOut(z.boolean({ error: 'must be true or false' })),
      shot_type: mayBeLeftOut(z.enum(['single', 'multi'], { error: 'must be single or multi' })),
      watermark: mayBeLeftOut(z.boolean({ error: 'must be true or false' })),
      cache: mayBeLeftOut(z.enum(['use', 'refresh', 'off'], { error: 'must be use, refresh or off' })),
      deadline_seconds: mayBeLeftOut(number('a number of seconds').positive({ error: 'must be above 0' })),
      tenant: mayBeLeftOut(
        z
          .string({ error: 'must be text' })
          .min(1, { error: 'must not be empty' })
          .max(64, { error: 'must have at most 64 characters' }),
      ),
      labels: mayBeLeftOut(
        z.record(z.string(), z.string({ error: 'must be text' }), {
          error: 'must be an object of text values, such as {"season":"spring"}',
        }),
      ),
    },
    {
      error: (issue) =>
        issue.code === 'invalid_type' ? 'must be one JSON object with the fields of video.generate' : undefined,
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
  // What JSON Schema can say of the rule above.
  .meta({
    title: 'A request of video.generate',
    not: { required: ['audio', 'audio_url'], properties: { audio: { const: false } } },
  });

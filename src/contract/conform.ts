import type { Issue } from './video-error.js';

/** What a video is made to be after it is archived; what is not named stays as it is in the file. */
export interface ConformOptions {
  /** Frames per second. */
  readonly fps?: number | null | undefined;
  /** Pixels as `W*H` or `WxH`, both even; not only the sizes that the provider renders. */
  readonly size?: string | null | undefined;
  /** How another shape is reached: `crop` (default) cuts off what is too much, `pad` adds black bars. */
  readonly shape?: 'crop' | 'pad' | null | undefined;
  /** How another frame rate is reached: `duplicate` (default) repeats and drops frames, `blend` mixes neighbours. */
  readonly motion?: 'blend' | 'duplicate' | null | undefined;
}

/** `exact`: the request's own `fps` and `size`; the length becomes that of the request in any case but `off`. */
export type Conform = 'off' | 'exact' | ConformOptions;

/** The same with every choice made; null: as in the file. */
export interface ConformRules {
  readonly fps: number | null;
  /** `W*H`. */
  readonly size: string | null;
  readonly shape: 'crop' | 'pad';
  readonly motion: 'blend' | 'duplicate';
  /** Seconds. */
  readonly duration: number;
}

/** Fields of a request that the rules depend on. */
interface Requested {
  readonly duration: number;
  readonly fps: number;
  readonly size: string;
}

/** Bounds of what a video can be made to be; the pixels are those of 4K. */
const CONFORM_LIMITS = { fpsMin: 1, fpsMax: 120, sideMin: 64, sideMax: 4096, pixelsMax: 3840 * 2160 } as const;

const SHAPES = ['crop', 'pad'] as const;
const MOTIONS = ['blend', 'duplicate'] as const;

const { fpsMin, fpsMax, sideMin, sideMax, pixelsMax } = CONFORM_LIMITS;
const FIELDS: readonly string[] = ['fps', 'size', 'shape', 'motion'];
const SIZE = /^([1-9]\d{1,3})[*x]([1-9]\d{1,3})$/;

/** Which rules a request wants; undefined: its video stays as it is. */
export function conformRules(conform: Conform | undefined, requested: Requested): ConformRules | undefined {
  if (conform === undefined || conform === 'off') return undefined;
  const { fps, size, shape, motion }: ConformOptions =
    conform === 'exact' ? { fps: requested.fps, size: requested.size } : conform;
  return {
    fps: fps ?? null,
    size: size?.replace('x', '*') ?? null,
    shape: shape ?? 'crop',
    motion: motion ?? 'duplicate',
    duration: requested.duration,
  };
}

/** Lists the faults of the field `conform`, with their paths below it. */
export function conformFaults(value: unknown): string | readonly Issue[] | undefined {
  if (value === 'off' || value === 'exact') return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return 'must be off, exact or an object such as {"fps":24,"size":"1280*720"}';
  }
  const given = value as Record<string, unknown>;
  const issues: Issue[] = [];
  const check = (path: string, isGood: boolean, message: string) => {
    if ((given[path] ?? null) !== null && !isGood) issues.push({ path, message });
  };
  const { fps, size, shape, motion } = given;
  const isRate = typeof fps === 'number' && fps >= fpsMin && fps <= fpsMax;
  check('fps', isRate, `must be frames per second from ${fpsMin} to ${fpsMax}`);
  check('size', isConformSize(size), SIZE_FAULT);
  check(
    'shape',
    SHAPES.some((word) => word === shape),
    `must be ${SHAPES.join(' or ')}`,
  );
  check(
    'motion',
    MOTIONS.some((word) => word === motion),
    `must be ${MOTIONS.join(' or ')}`,
  );
  for (const path of Object.keys(given)) {
    if (!FIELDS.includes(path)) issues.push({ path, message: `is not a field of conform: ${FIELDS.join(', ')}` });
  }
  return issues.length > 0 ? issues : undefined;
}

const SIDES = `even numbers from ${sideMin} to ${sideMax}`;
const SIZE_FAULT = `must be W*H with ${SIDES}, at most ${pixelsMax} pixels, such as 1280*720`;

function isConformSize(value: unknown): boolean {
  const [, width, height] = (typeof value === 'string' ? SIZE.exec(value) : null)?.map(Number) ?? [];
  if (width === undefined || height === undefined || width * height > pixelsMax) return false;
  return [width, height].every((side) => side % 2 === 0 && side >= sideMin && side <= sideMax);
}

/** The field `conform` as JSON Schema; how many pixels a size may have is checked by the workers alone. */
export const CONFORM_SCHEMA = {
  anyOf: [
    { type: 'string', enum: ['off', 'exact'] },
    {
      type: 'object',
      properties: {
        fps: { type: ['number', 'null'], minimum: fpsMin, maximum: fpsMax },
        size: { type: ['string', 'null'], pattern: '^[1-9]\\d{0,2}[02468][*x][1-9]\\d{0,2}[02468]$' },
        shape: { enum: [...SHAPES, null] },
        motion: { enum: [...MOTIONS, null] },
      },
      additionalProperties: false,
    },
  ],
} as const;

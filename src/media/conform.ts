import type { ConformRules } from '../contract/conform.js';
import { canonicalHash } from '../contract/validate.js';
import type { MeasuredMp4 } from './mp4-measure.js';

/** Changes when the same rules give another file, so that an older one is not taken for it. */
const VERSION = 1;

/** Names the file that rules make from a video. */
export const conformHash = (rules: ConformRules): string => canonicalHash({ version: VERSION, ...rules }).slice(0, 32);

/** A frame rate as the container has it. */
export interface Rate {
  readonly numerator: number;
  readonly denominator: number;
}

/** Colours of a picture, in ffmpeg's names. */
export interface Colours {
  readonly range: string;
  readonly space: string;
  readonly primaries: string;
  readonly transfer: string;
}

/** What the file is going to be. */
export interface ConformPlan {
  readonly rate: Rate;
  readonly frames: number;
  readonly seconds: number;
  readonly width: number;
  readonly height: number;
}

/** A clip that is shorter by no more than this gets its last frame once more; what is missing is not made up. */
const FILLED_SECONDS_MAX = 0.25;
/** Thousandths of a frame, as the product shows rates: 23.976 is 24000/1001. */
const RATE_TOLERANCE = 0.0005;

/** The rate that a number of frames per second means: whole, of NTSC (`n * 1000 / 1001`), or in thousandths. */
export function rateOf(fps: number): Rate {
  const whole = Math.round(fps);
  if (Math.abs(fps - whole) < RATE_TOLERANCE) return { numerator: whole, denominator: 1 };
  const ntsc = Math.round((fps * 1001) / 1000);
  if (Math.abs(fps - (ntsc * 1000) / 1001) < RATE_TOLERANCE) return { numerator: ntsc * 1000, denominator: 1001 };
  return { numerator: Math.round(fps * 1000), denominator: 1000 };
}

const even = (value: number): number => Math.max(2, Math.floor(value / 2) * 2);

/** Decides what a measured file becomes. */
export function planConform(measured: MeasuredMp4, { fps, size, duration }: ConformRules): ConformPlan {
  const rate = rateOf(fps ?? measured.fps);
  const wanted = measured.durationSeconds >= duration - FILLED_SECONDS_MAX ? duration : measured.durationSeconds;
  const frames = Math.max(1, Math.round((wanted * rate.numerator) / rate.denominator));
  const [width = 0, height = 0] = size?.split('*').map(Number) ?? [even(measured.width), even(measured.height)];
  return { rate, frames, seconds: (frames * rate.denominator) / rate.numerator, width, height };
}

/** Whether a made file is what was planned. */
export const isAsPlanned = (
  { frames, width, height, seconds }: ConformPlan,
  made: MeasuredMp4,
  hasAudio: boolean,
): boolean =>
  made.frames === frames &&
  made.width === width &&
  made.height === height &&
  Math.abs(made.durationSeconds - seconds) <= seconds / frames &&
  made.hasAudio === hasAudio;

/** Reads nothing but an MP4 file on the disk, regardless of what the file says that it is or refers to. */
const input = (file: string): string[] => [
  ...['-protocol_whitelist', 'file', '-f', 'mov', '-threads', '2', '-max_pixels', '40000000'],
  ...['-i', `file:${file}`],
];

/** Arguments that show the colours of the first picture, for {@link readColours}. */
export const colourArguments = (file: string): string[] => [
  ...['-v', 'info', ...input(file), '-map', '0:v:0', '-frames:v', '1', '-vf', 'showinfo', '-f', 'null', '-'],
];

/** Reads what `showinfo` has logged; what the file does not say is what players assume for pictures of that height. */
export function readColours(log: string, { height }: Pick<MeasuredMp4, 'height'>): Colours {
  const assumed = height >= 576 ? 'bt709' : 'smpte170m';
  // A line of its own: around it ffmpeg logs, indented, what the file says of itself in any words.
  const shown = /^\[Parsed_showinfo_0 @ [^\]]*\] *(color_range:.*)/m.exec(log)?.[1] ?? '';
  const read = (name: string) => {
    const found = new RegExp(`color_${name}:([a-z0-9-]+)`).exec(shown)?.[1] ?? 'unknown';
    return ['unknown', 'unspecified', 'reserved', 'gbr'].includes(found) ? undefined : found;
  };
  return {
    range: read('range') ?? 'tv',
    space: read('space') ?? assumed,
    primaries: read('primaries') ?? assumed,
    transfer: read('trc') ?? assumed,
  };
}

/** Arguments that make the planned file. */
export function conformArguments(
  from: { readonly file: string; readonly measured: MeasuredMp4; readonly colours: Colours },
  { shape, motion }: Pick<ConformRules, 'shape' | 'motion'>,
  plan: ConformPlan,
  to: string,
): string[] {
  const { file, measured, colours } = from;
  const { numerator, denominator } = plan.rate;
  const { hasAudio } = measured;
  const sound = ['-af', `aresample=async=1:first_pts=0,apad,atrim=end=${plan.seconds.toFixed(6)}`];
  return [
    ...['-v', 'error', '-progress', 'pipe:1', '-stats_period', '1', ...input(file), '-map', '0:v:0'],
    ...(hasAudio ? ['-map', '0:a:0', ...sound, '-c:a', 'aac', '-b:a', '192k'] : ['-an']),
    ...['-sn', '-dn', '-map_metadata', '-1', '-map_chapters', '-1'],
    ...['-vf', videoFilters({ measured, colours }, { shape, motion }, plan)],
    // Quality first: the file is what is edited further, and a clip has seconds.
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '14', '-profile:v', 'high', '-pix_fmt', 'yuv420p'],
    ...['-g', String(Math.max(1, Math.round((2 * numerator) / denominator))), '-threads', '2'],
    ...['-color_range', 'tv', '-colorspace', colours.space],
    ...['-color_primaries', colours.primaries, '-color_trc', colours.transfer],
    ...['-movflags', '+faststart+write_colr', '-f', 'mp4', `file:${to}`],
  ];
}

function videoFilters(
  { measured, colours }: { readonly measured: MeasuredMp4; readonly colours: Colours },
  { shape, motion }: Pick<ConformRules, 'shape' | 'motion'>,
  { rate: { numerator, denominator }, frames, width, height }: ConformPlan,
): string {
  const rate = `${numerator}/${denominator}`;
  const isOtherRate = Math.abs(measured.fps - numerator / denominator) >= RATE_TOLERANCE;
  const factors = [width / measured.width, height / measured.height];
  const factor = shape === 'crop' ? Math.max(...factors) : Math.min(...factors);
  // Up for a crop, which takes its part from the picture; down for bars, which are put around it.
  const scaled = ([measured.width, measured.height] as const).map((side) =>
    shape === 'crop' ? Math.ceil((side * factor) / 2 - 1e-6) * 2 : even(side * factor + 1e-6),
  );
  const isOtherSize = measured.width !== width || measured.height !== height;
  const toShape =
    shape === 'crop' ? `crop=${width}:${height}` : `pad=${width}:${height}:(ow-iw)/2:(oh-ih)/2:color=black`;
  return [
    ...(motion === 'blend' && isOtherRate ? [`framerate=fps=${rate}`] : []),
    // Counted from the start of the file, not from the first picture: the sound is.
    `fps=fps=${rate}:start_time=0`,
    `tpad=stop_mode=clone:stop_duration=${FILLED_SECONDS_MAX + 1}`,
    // As a filter: `-frames` would end the sound with the last picture, some hundredths early.
    `trim=end_frame=${frames}`,
    ...(isOtherSize || colours.range === 'pc'
      ? [`scale=${scaled.join(':')}:flags=lanczos+accurate_rnd:out_range=tv`]
      : []),
    ...(isOtherSize ? [toShape] : []),
    'setsar=1',
    'format=yuv420p',
  ].join(',');
}

/** Arguments that make a JPEG of the first decoded frame. */
export const posterArguments = (file: string, { space }: Colours, to: string): string[] => [
  ...['-v', 'error', ...input(file), '-map', '0:v:0', '-frames:v', '1'],
  // JPEG has one matrix and the full range; without this its colours are off.
  ...['-vf', `scale=in_color_matrix=${matrixOf(space)}:out_color_matrix=bt601:out_range=pc,setsar=1,format=yuvj420p`],
  ...['-c:v', 'mjpeg', '-q:v', '2', '-map_metadata', '-1', '-f', 'mjpeg', `file:${to}`],
];

/** The matrix by the name that the scaler has for it. */
const matrixOf = (space: string): string => (/^bt2020/.test(space) ? 'bt2020' : space === 'bt709' ? 'bt709' : 'bt601');

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type ImageSource, isReferenceSource, LocalImage } from '../client/reference.js';
import { PLACEHOLDER_REFERENCE } from '../contract/image-reference.js';
import { QUICK_START } from '../contract/model.js';
import { requestIssues } from '../contract/validate.js';
import type { Issue } from '../contract/video-error.js';
import { jsonFault } from '../text/json.js';
import { parseLabels } from './flags.js';
import type { CommandIo } from './io.js';

/** The flags that make a request, as they were typed. */
export interface RequestFlags {
  readonly prompt?: string;
  readonly image?: string;
  readonly referenceUpload?: string;
  readonly referenceFit?: string;
  readonly referenceBackground?: string;
  readonly duration?: string;
  readonly fps?: string;
  readonly size?: string;
  readonly seed?: string;
  readonly negativePrompt?: string;
  readonly motionStrength?: string;
  readonly audio?: boolean;
  readonly conform?: string;
  readonly poster?: boolean;
  readonly cache?: string;
  readonly deadline?: string;
  readonly tenant?: string;
  readonly receiver?: string;
  readonly label?: readonly string[];
  readonly request?: string;
}

/** A request as flags and file give it. */
export interface RequestInput {
  /** Fields of the request, without `reference_image`. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** A copy of the image when it is on this machine, to be staged; the caller disposes of it. */
  readonly local: LocalImage | undefined;
  /** The image as it goes into the request, when nothing has to be staged. */
  readonly reference: unknown;
  /** Every fault, each with its field. */
  readonly issues: readonly Issue[];
}

/** Reads flags, request file and image, and finds all their faults; sends nothing. */
export async function readRequestInput(
  flags: RequestFlags,
  io: CommandIo,
  signal?: AbortSignal,
): Promise<RequestInput> {
  const file = flags.request === undefined ? {} : await readRequestFile(resolve(io.cwd, flags.request), flags.request);
  const issues: Issue[] = [...(file.issues ?? [])];
  const { reference_image: inFile, ...fromFile } = file.fields ?? {};
  const fields: Record<string, unknown> = { ...QUICK_START, ...fromFile, ...fieldsOf(flags) };
  const labels = parseLabels(flags.label ?? []);
  issues.push(...labels.issues);
  // Labels of another shape stay as they are, so that the schema names their fault.
  if (flags.label !== undefined && isObject(fields['labels'] ?? {})) {
    fields['labels'] = { ...(fields['labels'] ?? {}), ...labels.values };
  }

  const source = flags.image ?? inFile;
  const isLocal = typeof source === 'string' && source !== '' && !isReferenceSource(source);
  const local = isLocal ? await readImage(source, io, signal) : undefined;
  const reference = source === '' ? undefined : source;
  const faults = requestIssues({
    ...fields,
    ...((isLocal || reference !== undefined) && { reference_image: isLocal ? PLACEHOLDER_REFERENCE : reference }),
  });
  // A file that cannot be read may hold what is missing here, so only the given fields are judged then.
  issues.push(
    ...(file.issues === undefined ? faults : faults.filter(({ path }) => (path.split('.')[0] ?? '') in fields)),
  );
  issues.push(...(local?.issuesFor(fields['reference_fit']) ?? []));
  return { fields, local, reference, issues };
}

async function readImage(source: string, io: CommandIo, signal: AbortSignal | undefined): Promise<LocalImage> {
  let image: ImageSource = io.stdin;
  if (source !== '-') image = source.startsWith('file:') ? new URL(source) : resolve(io.cwd, source);
  else if (io.stdin.isTTY === true) image = new Uint8Array(); // nothing is piped in, and an image is not typed
  return LocalImage.read(image, { signal });
}

function fieldsOf(flags: RequestFlags): Record<string, unknown> {
  const fields = {
    prompt: flags.prompt,
    duration: numeric(flags.duration),
    fps: numeric(flags.fps),
    size: flags.size,
    seed: numeric(flags.seed),
    negative_prompt: flags.negativePrompt,
    reference_upload: flags.referenceUpload,
    reference_fit: flags.referenceFit,
    reference_background: flags.referenceBackground,
    motion_strength: numeric(flags.motionStrength),
    audio: flags.audio,
    conform: conformOf(flags.conform),
    poster: flags.poster,
    cache: flags.cache,
    deadline_seconds: numeric(flags.deadline),
    tenant: flags.tenant,
    receiver: flags.receiver,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** A text that is not a number stays as it is, so that the schema names the fault. */
export const numeric = (text: string | undefined): number | string | undefined =>
  text !== undefined && /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : text;

/** `off`, `exact` or a list such as `fps=24,size=1280*720`; other text stays as it is, so that the schema names it. */
function conformOf(text: string | undefined): unknown {
  if (text === undefined || !text.includes('=')) return text;
  const pairs = text.split(',').map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]);
  if (pairs.some(([name]) => name === '' || name === '__proto__')) return text;
  return Object.fromEntries(pairs.map(([name = '', value]) => [name, name === 'fps' ? numeric(value) : value]));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function readRequestFile(
  path: string,
  shown: string,
): Promise<{ readonly fields?: Record<string, unknown>; readonly issues?: readonly Issue[] }> {
  const bad = (message: string) => ({ issues: [{ path: 'request', message: `${shown} ${message}` }] });
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return bad(code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? 'unknown fault'})`);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return { fields: value };
    return bad('is not one JSON object with the fields of videoGenerate');
  } catch {
    const fault = jsonFault(text);
    if (fault === undefined) return bad('is not JSON');
    return bad(`is not JSON: line ${fault.line}, column ${fault.column}, expected ${fault.expected}`);
  }
}

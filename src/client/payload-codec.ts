import { createRequire } from 'node:module';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Client } from '@temporalio/client';
import {
  type DataConverter,
  DefaultFailureConverter,
  defaultPayloadConverter,
  type LoadedDataConverter,
  METADATA_ENCODING_KEY,
  type Payload,
  type PayloadCodec,
} from '@temporalio/common';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { codecsOf, type TemporalTarget } from './temporal-target.js';

const NEXT_STEP = 'Correct WAN_VIDEO_PAYLOAD_CODEC; client, worker and command need the same codec with the same key.';

/** The encodings of Temporal's own converter, which a payload has that no codec has encoded. */
const PLAIN_ENCODINGS = ['json/plain', 'binary/plain', 'binary/null', 'json/protobuf', 'binary/protobuf'];

/**
 * Loads a payload codec, and tests it with one payload.
 * @param specifier - An absolute path, a path relative to `cwd` that begins with a dot, or the name of a package; as in
 * `WAN_VIDEO_PAYLOAD_CODEC`.
 * @throws VideoError `ConfigurationInvalid` when the module is not found, throws, exports no codec, or does not decode
 * what it has encoded.
 * @example
 * ```ts
 * const payloadCodec = await loadPayloadCodec('./encrypting-codec.mjs', process.cwd());
 * const client = await connectClient({ ...temporalFromEnv(), payloadCodec });
 * ```
 */
export async function loadPayloadCodec(specifier: string, cwd: string): Promise<PayloadCodec> {
  const refuse = (fault: string, cause?: unknown) =>
    new VideoError(FailureType.ConfigurationInvalid, `The payload codec ${specifier} ${fault}`, {
      cause,
      issues: [{ path: 'WAN_VIDEO_PAYLOAD_CODEC', message: `names ${specifier}, which ${fault}` }],
      nextStep: NEXT_STEP,
    });
  let exported: unknown;
  try {
    const loaded = (await import(locationOf(specifier, cwd))) as Record<string, unknown>;
    // A CommonJS module is imported as a default export that holds its own exports.
    const inner = loaded['default'] as Record<string, unknown> | undefined;
    exported = [loaded['payloadCodec'], inner?.['payloadCodec'], inner].find((value) => value !== undefined);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    throw refuse(isMissing ? `cannot be found: ${message}` : `cannot be loaded: ${message}`, cause);
  }
  if (!isCodec(exported)) {
    throw refuse('exports no codec: export "payloadCodec" (or a default) with the functions encode and decode');
  }
  const codec = namingErrors(exported, specifier);
  const [probe] = await codec.encode([defaultPayloadConverter.toPayload('wan-video')]);
  const [back] = probe === undefined ? [] : await codec.decode([probe]);
  let text: unknown;
  try {
    text = back === undefined ? undefined : defaultPayloadConverter.fromPayload(back);
  } catch {
    // The converter throws for a payload that is not ours, which is reported below.
  }
  if (text !== 'wan-video') throw refuse('does not decode what it has encoded');
  return codec;
}

/**
 * How a client writes and reads payloads: with the codec, which encodes the texts of failures as well, or as plain
 * JSON; or as the caller's own converter does. Without a codec, encoded payloads are refused with the setting that is
 * missing.
 */
export function dataConverterOf(target: TemporalTarget): DataConverter | LoadedDataConverter {
  const { dataConverter, payloadCodec: codec } = target;
  if (dataConverter !== undefined) return { ...dataConverter, payloadCodecs: [...codecsOf(target)] };
  return {
    payloadConverter: defaultPayloadConverter,
    failureConverter: new DefaultFailureConverter({ encodeCommonAttributes: codec !== undefined }),
    payloadCodecs: [codec ?? plainOnly],
  };
}

/** Whether `client` encodes its payloads, so that they cannot be read without the codec. */
export const encodesPayloads = (client: Client): boolean =>
  client.options.loadedDataConverter.payloadCodecs.some((codec) => codec !== plainOnly);

/** Passes payloads through, and refuses encoded ones, which the converter would only call an unknown encoding. */
const plainOnly: PayloadCodec = {
  encode: async (payloads) => payloads,
  decode: async (payloads) => {
    for (const payload of payloads) {
      const encoding = encodingOf(payload);
      if (PLAIN_ENCODINGS.includes(encoding)) continue;
      throw new VideoError(
        FailureType.ConfigurationInvalid,
        `Temporal holds data in the encoding "${encoding}", which needs the payload codec of its writer`,
        { nextStep: 'Set WAN_VIDEO_PAYLOAD_CODEC to the codec of the workers, with its key.' },
      );
    }
    return payloads;
  },
};

function encodingOf({ metadata }: Payload): string {
  const encoding = metadata?.[METADATA_ENCODING_KEY];
  return encoding === undefined || encoding === null ? 'none' : Buffer.from(encoding).toString();
}

/** The same codec, with errors that name it and the setting. */
function namingErrors(codec: PayloadCodec, name: string): PayloadCodec {
  const convert = async (what: 'encode' | 'decode', payloads: Payload[]): Promise<Payload[]> => {
    try {
      return await codec[what](payloads);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new VideoError(FailureType.ConfigurationInvalid, `The payload codec ${name} cannot ${what}: ${why}`, {
        cause,
        nextStep: NEXT_STEP,
      });
    }
  };
  return { encode: (payloads) => convert('encode', payloads), decode: (payloads) => convert('decode', payloads) };
}

function locationOf(specifier: string, cwd: string): string {
  if (specifier.startsWith('file:')) return specifier;
  if (specifier.startsWith('.') || isAbsolute(specifier)) return pathToFileURL(resolve(cwd, specifier)).href;
  try {
    return pathToFileURL(createRequire(join(cwd, 'package.json')).resolve(specifier)).href;
  } catch {
    return specifier; // a package that only `import` resolves, or one that is installed next to this one
  }
}

const isCodec = (value: unknown): value is PayloadCodec =>
  typeof value === 'object' &&
  value !== null &&
  ['encode', 'decode'].every((name) => typeof (value as Record<string, unknown>)[name] === 'function');

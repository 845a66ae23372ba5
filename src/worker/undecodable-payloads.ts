import { METADATA_ENCODING_KEY, type Payload, type PayloadCodec } from '@temporalio/common';
import storageReferences from '@temporalio/common/lib/internal-non-workflow/extstore-helpers.js';
import { cleanText } from '../contract/safe-text.js';

// The SDK decodes a whole activation before the workflow sees any of it. When one payload of one signal fails, the
// workflow task fails, and it is repeated for ever: any program that may signal a run could stop it.

/** Causes of an error that are looked at: a codec may link them in a circle. */
const CAUSES_MAX = 8;
/** Characters of the reason why a payload cannot be decoded. */
const REASON_MAX = 300;

/**
 * The codec of a worker. A payload of which the codec says that nobody will ever decode it is passed on as one of an
 * unknown encoding: a message with it is ignored (workflows/shared/message-handlers.ts), and everything else that holds
 * one fails where it is used, with the codec's own reason.
 *
 * With every other fault the workflow task fails, and is tried again: another worker may have the key that this one
 * lacks. If this one passed the payload on, the run would be replayed there with a message that it had ignored.
 */
export function passUndecodable(codec: PayloadCodec): PayloadCodec {
  const decode = async (payloads: Payload[]): Promise<Payload[]> => {
    const decoded = await codec.decode(payloads);
    if (decoded.length !== payloads.length) throw new Error('it returned another number of payloads');
    return decoded;
  };
  const decodeOne = async (payload: Payload): Promise<Payload[]> => {
    try {
      return await decode([payload]);
    } catch (fault) {
      return isForEver(fault) ? [undecodable(reasonOf(fault))] : refuse(fault);
    }
  };
  return {
    encode: (payloads) => codec.encode(payloads),
    async decode(payloads) {
      try {
        return await decode(payloads);
      } catch (fault) {
        if (!isForEver(fault)) refuse(fault);
        return (await Promise.all(payloads.map(decodeOne))).flat();
      }
    },
  };
}

/**
 * Whether a codec has marked an error, or the cause of one, by `undecodable: true`: every worker finds the same fault
 * in the payload, whichever keys it has.
 */
function isForEver(fault: unknown): boolean {
  let error = fault;
  for (let depth = 0; depth < CAUSES_MAX && error instanceof Error; depth += 1) {
    if ((error as { readonly undecodable?: unknown }).undecodable === true) return true;
    error = error.cause;
  }
  return false;
}

/** @throws an error that names the codec, because the failed workflow task shows no more than its message. */
function refuse(fault: unknown): never {
  throw new Error(`The payload codec of this worker does not decode: ${reasonOf(fault)}`, { cause: fault });
}

const reasonOf = (fault: unknown): string => (fault instanceof Error ? fault.message : String(fault));

/** A payload that no converter reads; the error of a converter that tries has `why`. */
const undecodable = (why: string): Payload => ({
  metadata: { [METADATA_ENCODING_KEY]: Buffer.from(`undecodable: ${cleanText(why, REASON_MAX)}`) },
});

/**
 * Makes the SDK treat references to external storage as payloads of an unknown encoding. There is no such storage here;
 * by itself the SDK fails the whole activation that has such a reference, and offers no other way to refuse one.
 */
export function ignoreStorageReferences(): void {
  Object.assign(storageReferences, { isReferencePayload: () => false });
}

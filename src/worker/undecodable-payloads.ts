import { defaultPayloadConverter, METADATA_ENCODING_KEY, type Payload, type PayloadCodec } from '@temporalio/common';
import storageReferences from '@temporalio/common/lib/internal-non-workflow/extstore-helpers.js';
import { cleanText } from '../contract/safe-text.js';

// The SDK decodes a whole activation before the workflow sees any of it. When one payload of one signal fails, the
// workflow task fails, and it is repeated for ever: any program that may signal a run could stop it.

/** Characters of the reason why a payload cannot be decoded. */
const REASON_MAX = 300;

/**
 * The codec of a worker. A payload that it cannot decode, although it is in order, is passed on as one of an unknown
 * encoding: a message with it is ignored (workflows/shared/message-handlers.ts), and everything else that holds one
 * fails where it is used, with the codec's own reason. While the codec itself fails, everything waits for it.
 */
export function passUndecodable(codec: PayloadCodec): PayloadCodec {
  /** Whether the codec decodes what it encodes now. */
  const isInOrder = async (): Promise<boolean> => {
    try {
      await codec.decode(await codec.encode([defaultPayloadConverter.toPayload('wan-video')]));
      return true;
    } catch {
      return false;
    }
  };
  const decodeOne = async (payload: Payload): Promise<Payload> => {
    try {
      const [decoded] = await codec.decode([payload]);
      return decoded ?? undecodable('the codec returned nothing');
    } catch (fault) {
      return undecodable(fault instanceof Error ? fault.message : String(fault));
    }
  };
  return {
    encode: (payloads) => codec.encode(payloads),
    async decode(payloads) {
      try {
        return await codec.decode(payloads);
      } catch (fault) {
        // Read once more after the codec has proved itself: a fault that has passed is no property of the payload.
        if (!(await isInOrder())) throw fault;
        return Promise.all(payloads.map(decodeOne));
      }
    },
  };
}

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

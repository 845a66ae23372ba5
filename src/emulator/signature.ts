import { createHmac, timingSafeEqual } from 'node:crypto';

/** The emulator's access key at its object store. */
export const ACCESS_KEY_ID = 'LTAI5tEmulator';

/** Signs upload policies and result addresses, as the object store does: HMAC-SHA1, base64. */
export interface Signer {
  sign(text: string): string;
  verified(text: string, signature: string): boolean;
}

export function createSigner(secret: () => string): Signer {
  const sign = (text: string): string => createHmac('sha1', secret()).update(text).digest('base64');
  return {
    sign,
    verified(text, signature) {
      const [expected, given] = [Buffer.from(sign(text)), Buffer.from(signature)];
      return expected.length === given.length && timingSafeEqual(expected, given);
    },
  };
}

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** The emulator's access key at its object store. */
export const ACCESS_KEY_ID = 'LTAI5tEmulator';

/** Signs upload policies and result addresses as the object store does: HMAC-SHA1, base64. */
export class Signer {
  secret = randomBytes(16).toString('hex');

  sign(text: string): string {
    return createHmac('sha1', this.secret).update(text).digest('base64');
  }

  isValid(text: string, signature: string): boolean {
    const [expected, actual] = [Buffer.from(this.sign(text)), Buffer.from(signature)];
    return expected.length === actual.length && timingSafeEqual(expected, actual);
  }
}

// A payload codec for WAN_VIDEO_PAYLOAD_CODEC that encrypts with AES-256-GCM. Node's own modules only, so it may lie
// anywhere.
//
//   head -c 32 /dev/urandom | base64 > codec.key
//   export WAN_VIDEO_CODEC_KEYS=codec.key WAN_VIDEO_PAYLOAD_CODEC=./docs/examples/encrypting-codec.mjs
//
// To change the key, put the new file in front and keep the old one as long as runs and histories need it:
//   WAN_VIDEO_CODEC_KEYS=new.key,codec.key
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

const ENCODING = 'binary/encrypted';
/** The nonce that GCM is specified for (NIST SP 800-38D), and its whole tag. */
const [NONCE_BYTES, TAG_BYTES] = [12, 16];

const keys = (process.env.WAN_VIDEO_CODEC_KEYS ?? '').split(',').map((file) => {
  const key = Buffer.from(readFileSync(file.trim(), 'utf8'), 'base64');
  if (key.length !== 32) throw new Error(`${file} must hold 32 bytes in base64`);
  return { id: createHash('sha256').update(key).digest('hex').slice(0, 8), key };
});

const text = (bytes) => Buffer.from(bytes ?? []).toString('utf8');
/** A payload as JSON, its bytes in base64. */
const pack = ({ metadata, data }) =>
  JSON.stringify({
    metadata: Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
    data: Buffer.from(data ?? []).toString('base64'),
  });
const unpack = (json) => {
  const { metadata, data } = JSON.parse(json);
  const bytes = metadata.map(([name, value]) => [name, Buffer.from(value, 'base64')]);
  return { metadata: Object.fromEntries(bytes), data: Buffer.from(data, 'base64') };
};

function encrypt(payload) {
  const [{ id, key }] = keys;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([nonce, cipher.update(pack(payload)), cipher.final(), cipher.getAuthTag()]);
  return { metadata: { encoding: Buffer.from(ENCODING), 'encryption-key-id': Buffer.from(id) }, data: sealed };
}

function decrypt(payload) {
  // What was written before there was a codec, or by a caller without one, stays readable.
  if (text(payload.metadata?.encoding) !== ENCODING) return payload;
  const id = text(payload.metadata['encryption-key-id']);
  const found = keys.find((one) => one.id === id);
  if (found === undefined) throw new Error(`the key ${id} is none of WAN_VIDEO_CODEC_KEYS`);
  try {
    const bytes = Buffer.from(payload.data ?? []);
    const decipher = createDecipheriv('aes-256-gcm', found.key, bytes.subarray(0, NONCE_BYTES));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = [decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()];
    return unpack(Buffer.concat(opened).toString());
  } catch (cause) {
    // Every worker with this key finds the same, so a signal with it is ignored. A key that is missing is not marked:
    // another worker may have it, and the run waits for that one.
    throw Object.assign(new Error('it was not encrypted with its key', { cause }), { undecodable: true });
  }
}

export const payloadCodec = {
  encode: async (payloads) => payloads.map(encrypt),
  decode: async (payloads) => payloads.map(decrypt),
};

import type { VideoBatchInput } from '../contract/batch.js';
import { cutToBytes, DETAILS_BYTES_MAX } from '../contract/bounds.js';
import { markdownCode, markdownLink, markdownText } from '../contract/markdown.js';
import type { VideoRequest } from '../contract/request.js';
import { redactText } from '../net/redact.js';

/** The request in the Web UI's Markdown; URLs are without their query, which may be a signature. */
export function staticDetails(request: VideoRequest): string {
  const { prompt, reference_image, labels, ...rest } = request;
  const fields = {
    reference_image: reference_image.startsWith('data:') ? 'data: URI' : reference_image,
    ...rest,
    ...Object.fromEntries(Object.entries(labels ?? {}).map(([name, value]) => [`label ${markdownText(name)}`, value])),
  };
  return cutToBytes([markdownText(redactText(prompt)), '', ...listFields(fields)].join('\n'), DETAILS_BYTES_MAX);
}

/** The input of a batch in the Web UI's Markdown; items, which may hold images, are counted. */
export const batchDetails = ({ items, ...input }: VideoBatchInput): string =>
  cutToBytes(listFields({ ...input, items: items?.length }).join('\n'), DETAILS_BYTES_MAX);

const listFields = (fields: Readonly<Record<string, unknown>>): string[] =>
  Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `- ${name}: ${valueText(redactText(plainText(value)))}`);

/** A value in words: a list by its members, another object as JSON. */
const plainText = (value: unknown): string =>
  typeof value === 'object' && !Array.isArray(value) ? JSON.stringify(value) : String(value);

/** A value as code; an address without a query, which may be a signature, as a link. */
const valueText = (value: string): string =>
  /^https?:[^?]*$/i.test(value) ? markdownLink(value, value) : markdownCode(value);

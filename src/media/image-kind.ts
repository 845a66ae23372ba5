/** The formats that are read, by their file name extension. */
export type ImageFormat = 'jpg' | 'png' | 'webp' | 'bmp' | 'gif' | 'tif' | 'avif';

/** A file's kind: its name for people, and its format if it is one that is read. */
export interface ImageKind {
  readonly format?: ImageFormat;
  readonly name: string;
}

/** Lengths of the header that follows a BMP's file header, by version; anything else is a text that begins with BM. */
const BMP_HEADERS: readonly number[] = [12, 16, 40, 52, 56, 64, 108, 124];

/** File signatures at a fixed place, in Latin-1. */
const SIGNATURES: ReadonlyArray<ImageKind & { readonly text: string; readonly at?: number }> = [
  { text: '\xff\xd8\xff', format: 'jpg', name: 'a JPEG image' },
  { text: '\x89PNG\r\n\x1a\n', format: 'png', name: 'a PNG image' },
  { text: 'GIF8', format: 'gif', name: 'a GIF image' },
  { text: 'II*\0', format: 'tif', name: 'a TIFF image' },
  { text: 'MM\0*', format: 'tif', name: 'a TIFF image' },
  { text: 'II+\0', format: 'tif', name: 'a TIFF image' },
  { text: 'MM\0+', format: 'tif', name: 'a TIFF image' },
  { text: '\0\0\0\fJXL ', name: 'a JPEG XL image' },
  { text: '\xff\n', name: 'a JPEG XL image' },
  { text: '\0\0\0\fjP  ', name: 'a JPEG 2000 image' },
  { text: '8BPS', name: 'a Photoshop file' },
  { text: '\0\0\x01\0', name: 'an icon file' },
  { text: '%PDF-', name: 'a PDF file' },
  { text: 'PK\x03\x04', name: 'a ZIP archive' },
  { text: '\x1f\x8b', name: 'a gzip archive' },
  { text: '\x1aE\xdf\xa3', name: 'a WebM or Matroska video' },
  { text: 'ftypavif', at: 4, format: 'avif', name: 'an AVIF image' },
  { text: 'ftypavis', at: 4, format: 'avif', name: 'an AVIF image' },
  { text: 'ftyphe', at: 4, name: 'a HEIC image' },
  { text: 'ftypmif1', at: 4, name: 'a HEIC image' },
  { text: 'ftypmsf1', at: 4, name: 'a HEIC image' },
  { text: 'ftyp', at: 4, name: 'an MP4 or QuickTime video' },
];

/** Recognizes a file's kind by its first bytes, never by its name or declared type. */
export function kindOfImage(head: Uint8Array): ImageKind {
  const start = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 1024));
  const text = start.toString('latin1');
  if (text.startsWith('RIFF') && text.startsWith('WEBP', 8)) return { format: 'webp', name: 'a WEBP image' };
  if (text.startsWith('BM') && start.length >= 18 && BMP_HEADERS.includes(start.readUInt32LE(14)))
    return { format: 'bmp', name: 'a BMP image' };
  // The brand of any picture in this container; those that it is compatible with say what it is.
  if (
    /^ftypmi[fa]1/.test(text.slice(4)) &&
    text.slice(16, start.length >= 4 ? start.readUInt32BE(0) : 0).includes('avif')
  )
    return { format: 'avif', name: 'an AVIF image' };
  const known = SIGNATURES.find((signature) => text.startsWith(signature.text, signature.at ?? 0));
  if (known !== undefined) return known;
  if (/^\0*$/.test(text)) return { name: 'a file of zero bytes only' };
  if (/^[\t\n\f\r\x20-\x7e\x80-\xff]*$/.test(text)) return { name: kindOfText(text) };
  return { name: 'a file of unknown kind' };
}

/**
 * Names what a server says instead of sending a file: a text, nothing, or a text that is still compressed.
 * @returns `undefined` for everything else.
 */
export function nameOfDocument(head: Uint8Array): string | undefined {
  if (head.length === 0) return 'an empty file';
  const { name } = kindOfImage(head);
  return DOCUMENTS.includes(name) ? name : undefined;
}

const DOCUMENTS: readonly string[] = [
  'an SVG drawing',
  'an HTML page',
  'an XML document',
  'a JSON document',
  'a text file',
  'a gzip archive',
];

function kindOfText(text: string): string {
  if (/<svg[\s>]/i.test(text)) return 'an SVG drawing';
  if (/<(!doctype\s+html|html|head|body)[\s>]/i.test(text)) return 'an HTML page';
  if (/^(\xef\xbb\xbf)?\s*<\?xml/.test(text)) return 'an XML document';
  if (/^(\xef\xbb\xbf)?\s*[[{]/.test(text)) return 'a JSON document';
  return 'a text file';
}

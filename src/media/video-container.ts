import { kindOfImage } from './image-kind.js';

/** Boxes with which a QuickTime file from before `ftyp` begins. */
const OLD_FIRST_BOXES: readonly string[] = ['moov', 'mdat', 'wide', 'free', 'skip', 'pnot'];

/** Signatures of video containers that are not measured, in Latin-1: where each part is, and the container's name. */
const OTHERS: ReadonlyArray<{ readonly parts: Readonly<Record<number, string>>; readonly name: string }> = [
  { parts: { 0: '\x1aE\xdf\xa3' }, name: 'a WebM or Matroska video' },
  { parts: { 0: 'RIFF', 8: 'AVI ' }, name: 'an AVI video' },
  { parts: { 0: 'FLV\x01' }, name: 'a Flash video' },
  { parts: { 0: 'OggS\0' }, name: 'an Ogg file' },
  { parts: { 0: '0&\xb2u\x8ef\xcf\x11' }, name: 'a Windows Media file' },
  { parts: { 0: '\0\0\x01\xba' }, name: 'an MPEG video' },
  { parts: { 0: 'G', 188: 'G' }, name: 'an MPEG transport stream' },
];

/** Whether a file begins with a box of an old QuickTime file; a text that reads like one has no such length. */
export function beginsLikeOldQuickTime(head: Buffer): boolean {
  return head.length >= 8 && (head[0] ?? 0) < 0x20 && OLD_FIRST_BOXES.includes(head.toString('latin1', 4, 8));
}

/** Names a video container that is not measured by a file's first bytes. */
export function otherVideoContainer(head: Buffer): string | undefined {
  const text = head.toString('latin1', 0, 256);
  return OTHERS.find(({ parts }) => Object.entries(parts).every(([at, part]) => text.startsWith(part, Number(at))))
    ?.name;
}

/** Whether a file begins like a video of any container, damaged or not. */
export function beginsLikeVideo(head: Buffer): boolean {
  const isImage = kindOfImage(head).name.endsWith('image');
  const isMp4 = head.toString('latin1', 4, 8) === 'ftyp' && !isImage;
  return isMp4 || beginsLikeOldQuickTime(head) || otherVideoContainer(head) !== undefined;
}

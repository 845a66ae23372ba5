/** Characters with which Markdown, or HTML in it, makes markup of a text. */
const MARKUP = /[\\`*_[\]|~]/g;
/** What makes a heading, a quote, a list, a line or a table's head of the line that begins with it. */
const LINE_MARKUP = /^(\s*)([#+=-]|\d+(?=[.)]))/;

/**
 * A foreign text in one line of Markdown, which shows it as it is. Temporal's Web UI renders details with images, links
 * and HTML: a prompt could load a picture from its author's server, or show a link under another name. An address in
 * the text may still become a link, which shows where it leads.
 * @example markdownText('![x](https://example.com/p.png)') // '!\\[x\\](https://example.com/p.png)'
 */
export const markdownText = (text: string): string =>
  text
    .replace(/\s+/g, ' ')
    .replace(MARKUP, '\\$&')
    .replaceAll('<', '&lt;') // not escaped: an address before it would take in the backslash
    .replaceAll('>', '&gt;')
    .replace(LINE_MARKUP, (_, space: string, mark: string) => `${space}${/\d/.test(mark) ? `${mark}\\` : `\\${mark}`}`);

/** A foreign text as code in Markdown: a backtick would end it. */
export const markdownCode = (text: string): string => `\`${text.replace(/[`\r\n]/g, "'")}\``;

/**
 * A link whose text is `text`; the text as code when the address is none that a browser opens.
 * @example markdownLink('video', 'https://videos.example.com/videos/1.mp4')
 */
export const markdownLink = (text: string, address: string): string =>
  isWebAddress(address) ? `[${markdownText(text)}](<${address}>)` : markdownCode(text);

const isWebAddress = (address: string): boolean => /^(https?:\/\/|\/(?!\/))[^\s<>]*$/.test(address);

/** A picture that leads to `address`; undefined when a browser cannot open both. */
export const markdownPicture = (text: string, picture: string, address: string): string | undefined =>
  [picture, address].every(isWebAddress) ? `[![${markdownText(text)}](<${picture}>)](<${address}>)` : undefined;

/**
 * A foreign text for a run's summary. Lists show it as it is and the run's page as Markdown, so escapes would be seen:
 * what begins HTML or the address of a link or picture is changed instead.
 */
export const markdownSummary = (text: string): string => text.replaceAll('<', '‹').replaceAll('](', '] (');

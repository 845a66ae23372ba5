import fc from 'fast-check';
import MarkdownIt from 'markdown-it';
import { describe, expect, test } from 'vitest';
import {
  markdownCode,
  markdownLink,
  markdownPicture,
  markdownSummary,
  markdownText,
} from '../../src/contract/markdown.js';

/** Markdown as the Web UI shows it: with GitHub's extensions, and with HTML and addresses of any scheme as they are. */
const markdown = new MarkdownIt({ html: true, linkify: true });
markdown.validateLink = () => true;
const render = (text: string): string => markdown.render(text).trim();
/** The text of HTML that has no elements but paragraphs and links to the address that they show. */
const textOf = (html: string): string =>
  html
    .replace(/<a href="(?:mailto:|http:\/\/)?([^"]*)">\1<\/a>/g, '$1')
    .replace(/^<p>|<\/p>$/g, '')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');

const HOSTILE = [
  '![x](https://example.com/p.png)',
  '[the video](javascript:alert(1))',
  '<img src=x onerror=alert(1)>',
  '<https://example.com>',
  '# done',
  '1. one',
  '- one',
  '> quoted',
  '---',
  '=== ===',
  '**done** _and_ ~~gone~~ `code`',
  '| a | b |',
  '[x]: https://example.com',
  '[^1]: note',
  '\\[x\\](y)',
  '- [ ] task',
  '```',
];

describe('a foreign text in Markdown', () => {
  test.each(HOSTILE)('%j is shown as it is', (text) => {
    expect(textOf(render(markdownText(text)))).toBe(text);
  });

  test('any text of markup is shown as it is', () => {
    const pieces = fc.constantFrom(...'\\`*_[]()<>|~#+-=!.:1 a"', 'x', '&lt;', 'javascript:');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
        // Markdown decodes entities everywhere but in code; spaces at the ends are none.
        const text = parts.join('').trim().replace(/\s+/g, ' ');
        const shown = textOf(render(markdownText(text)));
        expect(shown).toBe(text.replaceAll('&lt;', '<'));
      }),
      { numRuns: 2_000 },
    );
  });

  test('of several lines becomes one', () => {
    expect(render(markdownText('a\n\n# b\r\n| c |'))).toBe('<p>a # b | c |</p>');
  });

  test.each(HOSTILE)('%j has no element of its own as code', (text) => {
    expect(render(markdownCode(text))).toMatch(/^<p><code>[^<]*<\/code><\/p>$/);
  });

  test.each(HOSTILE)('%j has no link and no picture in a summary', (text) => {
    expect(render(`4 s 1280*720: ${markdownSummary(text)}`)).not.toMatch(/<(img|a (?!href="https:\/\/example.com))/);
  });
});

describe('a link', () => {
  test.each([
    'https://videos.example.com/videos/1.mp4',
    'http://127.0.0.1:9000/a(b)',
    '/namespaces/default/workflows/a%2Fb',
  ])('leads to %s', (address) => {
    expect(render(markdownLink('video', address))).toBe(`<p><a href="${address}">video</a></p>`);
  });

  test.each([
    'file:///data/1.mp4',
    's3://bucket/1.mp4',
    'javascript:alert(1)',
    '//example.com/x',
    'https://a/ b',
    'asset:x',
  ])('to %s is code', (address) => {
    expect(render(markdownLink('video', address))).toBe('<p><code>video</code></p>');
  });
});

test('a picture leads to its video, and is left out where a browser opens no address of the store', () => {
  const video = 'https://videos.example.com/videos/1.mp4';
  const picture = 'https://videos.example.com/conformed/1/original.jpg';
  expect(render(markdownPicture('first frame', picture, video) ?? '')).toBe(
    `<p><a href="${video}"><img src="${picture}" alt="first frame"></a></p>`,
  );
  expect(markdownPicture('first frame', 's3://b/conformed/1/original.jpg', 's3://b/videos/1.mp4')).toBeUndefined();
});

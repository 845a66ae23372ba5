import { createHash } from 'node:crypto';
import type { BatchRow } from '../batch/batch-files.js';
import { amountOf, type Prices } from '../config/prices.js';
import { amountText } from '../contract/budget.js';
import { cleanText } from '../contract/safe-text.js';
import { REPORT_SCRIPT, REPORT_STYLE } from './report-page-assets.js';
import { renderTimes, tasksOverTime } from './report-page-charts.js';

/** A line of a report page. */
export interface PageRow {
  readonly row: BatchRow;
  /** Address of the video that a browser can open, absolute or relative to the page; null: there is no video. */
  readonly video: string | null;
  /** Address of the picture of its first frame; null: there is none. */
  readonly poster: string | null;
  /** Address of the reference image; null: it is not in the store. */
  readonly reference: string | null;
}

/** What the head of a report page says. */
export interface PageHead {
  readonly batchId: string;
  /** Lines such as `billed    1200 s at 720P, silent`: a word and what is said about it. */
  readonly facts: readonly string[];
  /** Whether the batch has ended: a line without an outcome will then get none. */
  readonly ended: boolean;
  readonly prices: Prices | undefined;
  /** Milliseconds since the epoch at which the page is made. */
  readonly madeAtMs: number;
  /** Milliseconds since the epoch at which the addresses expire; null: never. */
  readonly linksExpireAtMs: number | null;
}

/**
 * A batch's report as one HTML page that opens by itself: style and script are inside, and it loads nothing but the
 * videos and images of its lines, each when it comes into view. Texts of others are shown as text: a policy lets no
 * other script run.
 * @param rows - In the order of the manifest. They are all in the page, some 2 kB each.
 */
export function reportPage(head: PageHead, rows: readonly PageRow[]): string {
  const { batchId, facts, ended, prices, madeAtMs, linksExpireAtMs } = head;
  const outcomes = new Map<string, number>();
  for (const { row } of rows) {
    const outcome = outcomeOf(row, ended);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  const reports = rows.map(({ row }) => row);
  const expiry = linksExpireAtMs === null ? '' : ` Its addresses expire at ${time(linksExpireAtMs)}.`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy(rows)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${html(batchId)}</title>
<style>${REPORT_STYLE}${[...outcomes.keys()].map(filterStyle).join('')}</style>
</head>
<body data-show="all">
<header>
<h1>${html(batchId)}</h1>
<p class="made">Made at ${time(madeAtMs)}.${expiry}</p>
<dl>${facts.map(fact).join('')}</dl>
${tenantTable(reports, prices)}
<div class="charts">${tasksOverTime(reports)}${renderTimes(reports)}</div>
<nav aria-label="Show">${[['all', rows.length] as const, ...outcomes].map(filterButton).join('')}</nav>
</header>
<main>
${rows.map((row) => lineHtml(row, head)).join('\n')}
</main>
<script>${REPORT_SCRIPT}</script>
</body>
</html>
`;
}

/** What only this page may load: its own script, and files from where its videos and images are. */
function policy(rows: readonly PageRow[]): string {
  const sources = new Set(["'self'"]);
  for (const address of rows.flatMap(({ video, poster, reference }) => [video, poster, reference])) {
    if (address === null) continue;
    if (!URL.canParse(address)) {
      sources.add('file:'); // relative, of a page that is opened from a disk
      continue;
    }
    const { protocol, origin } = new URL(address);
    sources.add(/^https?:$/.test(protocol) ? origin : protocol);
  }
  const files = [...sources].join(' ');
  const script = createHash('sha256').update(REPORT_SCRIPT).digest('base64');
  return html(
    `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${script}'; img-src ${files}; ` +
      `media-src ${files}; base-uri 'none'; form-action 'none'`,
  );
}

const outcomeOf = (row: BatchRow, ended: boolean): string =>
  ended && row.outcome === 'open' ? 'not_run' : row.outcome;

const filterStyle = (outcome: string): string =>
  `[data-show="${outcome}"] article:not([data-outcome="${outcome}"]){display:none}`;

const filterButton = ([outcome, count]: readonly [string, number]): string =>
  `<button type="button" data-filter="${outcome}" aria-pressed="${outcome === 'all'}">` +
  `${outcome.replace('_', ' ')} ${count}</button>`;

function fact(line: string): string {
  const [, name = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(line) ?? [];
  return name === '' ? '' : `<dt>${html(name)}</dt><dd>${html(rest)}</dd>`;
}

function tenantTable(rows: readonly BatchRow[], prices: Prices | undefined): string {
  const tenants = new Map<string, { lines: number; videos: number; seconds: number; amount: number }>();
  for (const row of rows) {
    const name = row.tenant ?? '';
    const sum = tenants.get(name) ?? { lines: 0, videos: 0, seconds: 0, amount: 0 };
    sum.lines += 1;
    if (row.video_url !== null) sum.videos += 1;
    sum.seconds += row.billed_seconds;
    sum.amount += costOf(row, prices) ?? 0;
    tenants.set(name, sum);
  }
  const money = (amount: number) => (prices === undefined ? '' : `<td>${amountText(amount)} ${prices.currency}</td>`);
  const body = [...tenants].map(
    ([name, { lines, videos, seconds, amount }]) =>
      `<tr><th scope="row" dir="auto">${name === '' ? 'no tenant' : html(name)}</th><td>${lines}</td>` +
      `<td>${videos}</td><td>${Math.round(seconds * 1000) / 1000} s</td>${money(amount)}</tr>`,
  );
  const amount = prices === undefined ? '' : '<th scope="col">amount</th>';
  return (
    '<table><thead><tr><th scope="col">tenant</th><th scope="col">lines</th><th scope="col">videos</th>' +
    `<th scope="col">billed</th>${amount}</tr></thead><tbody>${body.join('')}</tbody></table>`
  );
}

function costOf(row: BatchRow, prices: Prices | undefined): number | null {
  if (prices === undefined || row.resolution === null) return null;
  return amountOf(prices, row.billed_seconds, row.resolution, row.audio);
}

function lineHtml({ row, video, poster, reference }: PageRow, { ended, prices }: PageHead): string {
  const outcome = outcomeOf(row, ended);
  const cost = costOf(row, prices);
  const billed = row.billed === null ? 'not known' : `${row.billed_seconds} s`;
  const facts: readonly (readonly [string, string | null])[] = [
    ['same as', row.same_as],
    ['cause', row.cause === null ? null : row.code === null ? row.cause : `${row.cause} (${row.code})`],
    ['message', row.message],
    ['warnings', row.warnings === undefined ? null : row.warnings.join(', ').replaceAll('_', ' ')],
    ['billed', row.outcome === 'open' ? null : `${billed}${row.estimated === true ? ', estimated' : ''}`],
    ['amount', cost === null || cost === 0 ? null : `${amountText(cost)} ${prices?.currency ?? ''}`],
    ['duration', row.duration === null ? null : `${row.duration} s`],
    ['tenant', row.tenant],
    [
      'labels',
      Object.entries(row.labels)
        .map((pair) => pair.join('='))
        .join(' ') || null,
    ],
    ['run', row.run],
    ['task', row.task_id],
    ['file', row.file ?? null],
    ['not delivered', row.file_problem ?? null],
  ];
  const pictures = [
    reference === null ? '' : `<img alt="reference" loading="lazy" src="${html(reference)}">`,
    video === null ? '' : videoHtml(video, poster),
  ];
  const list = facts.map(([name, value]) =>
    value === null ? '' : `<dt>${name}</dt><dd dir="auto">${html(value)}</dd>`,
  );
  const title = `<span>${row.line}</span> <bdi>${html(row.item_id || 'no id')}</bdi>`;
  return [
    `<article data-outcome="${outcome}">`,
    `<h2>${title} <em>${outcome.replace('_', ' ')}</em></h2>`,
    `<div class="pictures">${pictures.join('')}</div>`,
    row.prompt === null ? '' : `<p dir="auto">${html(row.prompt)}</p>`,
    `<dl>${list.join('')}</dl>`,
    video === null ? '' : `<a href="${html(video)}">video</a>`,
    '</article>',
  ].join('');
}

/** The page's script gives the video its addresses once it comes into view. */
function videoHtml(video: string, poster: string | null): string {
  const picture = poster === null ? '' : ` data-poster="${html(poster)}"`;
  return `<video controls playsinline preload="none" data-src="${html(video)}"${picture}></video>`;
}

const time = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A text of others, harmless inside an element or an attribute. A prompt has at most 1,500 characters. */
const html = (text: string): string => cleanText(text, TEXT_MAX).replace(/[&<>"']/g, (found) => ENTITIES[found] ?? '');
/** Longer than a presigned address. */
const TEXT_MAX = 4_096;

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { ROOT } from '../support/stack.js';

/** A run to look at. */
export interface Run {
  readonly id: string;
  readonly runId: string;
}

/** What a run's pages show, as text. */
export interface RunPages {
  readonly status: string;
  /** Of the tab "User Metadata". */
  readonly summary: string;
  readonly details: string;
  readonly currentDetails: string;
  /** The whole page of the tab "Search Attributes". */
  readonly searchAttributes: string;
}

/** The list's columns, which a browser keeps for itself. */
const COLUMNS = ['Status', 'Workflow ID', 'VideoOutcome', 'VideoErrorCode', 'VideoTenant', 'Start'];
/** Of the window, in pixels: shows the columns above. */
const WIDTH = 1440;
/** Written only when asked for: a picture differs on every machine. */
const SCREENSHOTS = process.env['WRITE_SCREENSHOTS'] === '1' ? join(ROOT, 'docs', 'webui') : undefined;
/** A busy machine needs some seconds for a page that takes one. */
const PATIENT = { timeout: 30_000, interval: 100 };

/** Temporal's Web UI in a real browser. */
export class WebUi {
  readonly #browser: Browser;
  readonly #context: BrowserContext;
  readonly #workflows: string;

  private constructor(browser: Browser, context: BrowserContext, url: string) {
    this.#browser = browser;
    this.#context = context;
    this.#workflows = `${url}/namespaces/default/workflows`;
  }

  static async open(executablePath: string, url: string): Promise<WebUi> {
    // Chromium refuses its sandbox to root.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const browser = await chromium.launch({ executablePath, args });
    // One context for all pages: its cache has the UI's code after the first.
    const context = await browser.newContext({ viewport: { width: WIDTH, height: 900 } });
    context.setDefaultTimeout(PATIENT.timeout);
    await context.route(
      ({ hostname }) => hostname !== '127.0.0.1',
      (route) => route.abort(),
    );
    const columns = JSON.stringify({ default: COLUMNS.map((label) => ({ label })) });
    await context.addInitScript(`localStorage.setItem('namespace-workflow-table-columns', ${JSON.stringify(columns)})`);
    return new WebUi(browser, context, url);
  }

  close(): Promise<void> {
    return this.#browser.close();
  }

  /** Texts of the rows that the list shows for a query, once there are as many as expected. */
  async find(query: string, expected: number, screenshot?: string): Promise<string[]> {
    return this.#onPage(`?query=${encodeURIComponent(query)}`, async (page) => {
      const rows = page.getByTestId('workflows-summary-configurable-table-row');
      await expect.poll(() => rows.count(), PATIENT).toBe(expected);
      await picture(page, screenshot, 600);
      return rows.allInnerTexts();
    });
  }

  /** Reads the two tabs of a run that people look at. */
  async read(run: Run, screenshot?: string): Promise<RunPages> {
    return this.#onPage(`${pathOf(run)}/user-metadata`, async (page) => {
      // Each text is markdown in a frame of its own; current details come from a worker, so theirs fills last.
      const frames = page.locator('iframe[src*="render?content="]');
      const textOf = async (n: number) => (await frames.nth(n).contentFrame().locator('body').innerText()).trim();
      await expect.poll(() => frames.count(), PATIENT).toBe(3);
      await expect.poll(() => textOf(2), PATIENT).not.toBe('');
      const [summary = '', details = '', currentDetails = ''] = await Promise.all([0, 1, 2].map(textOf));
      const status = await page.getByTestId('execution-status').first().innerText();
      await picture(page, screenshot, 1020);
      await page.getByTestId('search-attributes-tab').click();
      const body = page.locator('body');
      await expect.poll(() => body.innerText(), PATIENT).toContain('"BuildIds"');
      return { status, summary, details, currentDetails, searchAttributes: await body.innerText() };
    });
  }

  /** The text of a run's timeline, once it speaks of `last`. */
  async timeline(run: Run, last: string, screenshot?: string): Promise<string> {
    return this.#onPage(`${pathOf(run)}/timeline`, async (page) => {
      const body = page.locator('body');
      await expect.poll(() => body.innerText(), PATIENT).toContain(last);
      await picture(page, screenshot, 1060);
      return body.innerText();
    });
  }

  async #onPage<T>(path: string, look: (page: Page) => Promise<T>): Promise<T> {
    const page = await this.#context.newPage();
    try {
      await page.goto(`${this.#workflows}${path}`);
      return await look(page);
    } finally {
      await page.close();
    }
  }
}

const pathOf = ({ id, runId }: Run): string => `/${encodeURIComponent(id)}/${runId}`;

/** @param height - Pixels that show what matters. */
async function picture(page: Page, name: string | undefined, height: number): Promise<void> {
  if (SCREENSHOTS === undefined || name === undefined) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.setViewportSize({ width: WIDTH, height });
  await page.waitForTimeout(500); // the frames grow with it; nothing tells when they have
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

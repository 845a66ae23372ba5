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
const ROW = 'workflows-summary-configurable-table-row';
const QUERY_FIELD = 'workflow-manual-search-input';
/** A query that finds nothing. */
const NOTHING = 'WorkflowId="nothing"';
/** A busy machine needs some seconds for a page that takes one. */
const PATIENT = { timeout: 30_000, interval: 100 };

/** Temporal's Web UI in a real browser. */
export class WebUi {
  readonly #browser: Browser;
  readonly #context: BrowserContext;
  readonly #workflows: string;
  #list: Promise<Page> | undefined;
  #run: Promise<Page> | undefined;

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

  /** Types a query into the list's own field, and returns the texts of the rows once there are as many as expected. */
  async find(query: string, expected: number, screenshot?: string): Promise<string[]> {
    this.#list ??= this.#openList().then(async (page) => {
      await page.getByTestId('toggle-manual-query').click();
      return page;
    });
    const page = await this.#list;
    const rows = page.getByTestId(ROW);
    const ask = async (text: string, count: number) => {
      const field = page.getByTestId(QUERY_FIELD);
      await field.fill(text);
      await field.press('Enter');
      await expect.poll(() => rows.count(), { ...PATIENT, message: `rows of ${text}` }).toBe(count);
    };
    await ask(NOTHING, 0); // else the rows of the query before could pass for those of this one
    await ask(query, expected);
    await picture(page, screenshot, 660);
    return rows.allInnerTexts();
  }

  /** Follows the first row of a query that finds as many runs as expected, and returns the run that it leads to. */
  async openFound(query: string, expected: number): Promise<Run> {
    await this.find(query, expected);
    const page = await this.#list;
    if (page === undefined) throw new Error('no list is open');
    const href = await page.getByTestId(ROW).first().getByRole('link').first().getAttribute('href');
    const [, id = '', runId = ''] = /\/workflows\/([^/?]+)\/([^/?]+)/.exec(href ?? '') ?? [];
    return { id: decodeURIComponent(id), runId };
  }

  /** Clicks on the link of a video in a run's current details; returns the size of its picture once it plays. */
  watch(run: Run, currently: RegExp, href: string): Promise<{ readonly width: number; readonly height: number }> {
    return this.#onPage(run, 'user-metadata', async (page) => {
      const frame = page.locator('iframe[src*="render?content="]').last().contentFrame();
      await expect.poll(async () => (await frame.locator('body').innerText()).trim(), PATIENT).toMatch(currently);
      const opened = this.#context.waitForEvent('page');
      await frame.locator(`a[href="${href}"]`).first().click();
      const tab = await opened;
      const seconds = () => tab.evaluate('document.querySelector("video")?.currentTime ?? 0');
      await tab.evaluate('document.querySelector("video")?.play()');
      await expect.poll(seconds, PATIENT).toBeGreaterThan(0);
      const size = 'const { videoWidth: width, videoHeight: height } = document.querySelector("video");';
      const shown = await tab.evaluate(`(() => { ${size} return { width, height }; })()`);
      await tab.close();
      return shown as { width: number; height: number };
    });
  }

  /** Reads the two tabs of a run that people look at, once its current details show what is expected. */
  async read(run: Run, currently: RegExp, screenshot?: string): Promise<RunPages> {
    return this.#onPage(run, 'user-metadata', async (page) => {
      // Each text is markdown in a frame of its own; current details come from a worker, so theirs fills last.
      const frames = page.locator('iframe[src*="render?content="]');
      const textOf = async (n: number) => (await frames.nth(n).contentFrame().locator('body').innerText()).trim();
      await expect.poll(() => frames.count(), PATIENT).toBe(3);
      await expect.poll(() => textOf(2), PATIENT).toMatch(currently);
      const [summary = '', details = '', currentDetails = ''] = await Promise.all([0, 1, 2].map(textOf));
      const status = await page.getByTestId('execution-status').first().innerText();
      await picture(page, screenshot, 1020);
      await page.getByTestId('search-attributes-tab').click();
      const body = page.locator('body');
      await expect.poll(() => body.innerText(), PATIENT).toContain('"BuildIds"');
      return { status, summary, details, currentDetails, searchAttributes: await body.innerText() };
    });
  }

  /** Addresses of the links in a run's details and current details, once these show what is expected. */
  links(run: Run, currently: RegExp): Promise<string[]> {
    return this.#onPage(run, 'user-metadata', async (page) => {
      const frames = page.locator('iframe[src*="render?content="]');
      const text = async () => (await frames.last().contentFrame().locator('body').innerText()).trim();
      await expect.poll(text, PATIENT).toMatch(currently);
      const links: string[] = [];
      for (const frame of await frames.all())
        for (const link of await frame.contentFrame().locator('a').all())
          links.push(decodeURIComponent((await link.getAttribute('href')) ?? ''));
      return links;
    });
  }

  /** The current details alone, of a run that may have no summary or details. */
  currentDetails(run: Run, currently: RegExp): Promise<string> {
    return this.#onPage(run, 'user-metadata', async (page) => {
      const last = page.locator('iframe[src*="render?content="]').last();
      const text = async () => (await last.contentFrame().locator('body').innerText()).trim();
      await expect.poll(text, PATIENT).toMatch(currently);
      return text();
    });
  }

  /** The text of a run's timeline, once it speaks of `last`. */
  timeline(run: Run, last: string, screenshot?: string): Promise<string> {
    return this.#text(run, 'timeline', last, screenshot);
  }

  /** Texts of a run's parent and children, once the tree shows `last`. */
  family(run: Run, last: string): Promise<string> {
    return this.#text(run, 'relationships', last);
  }

  /**
   * Sends an Update by the form of the UI, and reads what it shows then.
   * @param ended - Waits for the end of a run that the Update ends: the UI then leaves its form open, and has the
   * answer once the page is loaded again.
   * @returns the answer in the run's history, or the reason in the form when the run refuses.
   */
  sendUpdate(
    run: Run,
    name: string,
    data?: object,
    ended?: () => Promise<unknown>,
  ): Promise<{ readonly answer?: unknown; readonly refused?: string }> {
    return this.#onPage(run, 'history', async (page) => {
      const form = page.locator('#update-confirmation-modal:visible');
      const completed = page.getByText('Workflow Execution Update Completed');
      await page.getByText('Workflow Execution Started').first().waitFor();
      const before = await completed.count();
      await page.getByRole('button', { name: 'More Actions' }).click();
      await page.getByRole('menuitem', { name: 'Send an Update' }).click();
      await form.getByTestId('update-select-button').click();
      const option = form.getByRole('option').filter({ hasText: new RegExp(`^\\s*${name}\\b`) });
      await option.click();
      if (data !== undefined) await form.locator('.cm-content').fill(JSON.stringify(data));
      await form.getByTestId('confirm-modal-button').click();
      if (ended !== undefined) {
        await ended();
        await page.reload();
      }
      const end = async (): Promise<string> => {
        if ((await completed.count()) > before) return 'answered';
        const text = await form.innerText({ timeout: 1_000 }).catch(() => '');
        return /ApplicationFailure: (.*)/.exec(text)?.[1] ?? '';
      };
      await expect.poll(end, PATIENT).not.toBe('');
      const refused = await end();
      if (refused !== 'answered') {
        await form.getByTestId('cancel-modal-button').click();
        return { refused };
      }
      await completed.first().click();
      const shown = async () =>
        /"success": \{\s*"payloads": \[\s*([\s\S]*?\n {6}\})\s*\]/.exec(await page.locator('body').innerText())?.[1];
      await expect.poll(shown, PATIENT).toBeDefined();
      return { answer: JSON.parse((await shown()) ?? '') };
    });
  }

  #text(run: Run, tab: 'timeline' | 'relationships', last: string, screenshot?: string): Promise<string> {
    return this.#onPage(run, tab, async (page) => {
      const body = page.locator('body');
      await expect.poll(() => body.innerText(), PATIENT).toContain(last);
      await picture(page, screenshot, 1060);
      return body.innerText();
    });
  }

  async #openList(): Promise<Page> {
    const page = await this.#context.newPage();
    await page.goto(`${this.#workflows}?query=${encodeURIComponent(NOTHING)}`);
    await page.getByTestId('toggle-manual-query').waitFor();
    return page;
  }

  /** On a run's page, once it is there; within the application, since reloading it takes seconds. */
  async #onPage<T>(run: Run, tab: string, look: (page: Page) => Promise<T>): Promise<T> {
    this.#run ??= this.#openList();
    const page = await this.#run;
    // By way of a list of nothing: what is seen then is not left over from the run before.
    await visit(page, `${this.#workflows}?query=${encodeURIComponent(NOTHING)}`);
    await expect.poll(() => page.getByTestId('workflow-id-heading').count(), PATIENT).toBe(0);
    await visit(page, `${this.#workflows}/${encodeURIComponent(run.id)}/${run.runId}/${tab}`);
    await expect.poll(() => page.getByTestId('workflow-id-heading').innerText(), PATIENT).toContain(run.id);
    return look(page);
  }
}

/** The application follows its links without reloading itself, also this one. */
const visit = (page: Page, href: string): Promise<void> =>
  page.evaluate(`(() => {
    const link = Object.assign(document.createElement('a'), { href: ${JSON.stringify(href)} });
    document.body.append(link);
    link.click();
    link.remove();
  })()`);

/** @param height - Pixels that show what matters. */
async function picture(page: Page, name: string | undefined, height: number): Promise<void> {
  if (SCREENSHOTS === undefined || name === undefined) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.mouse.move(0, 0); // else what the mouse was used for last explains itself
  await page.setViewportSize({ width: WIDTH, height });
  await page.waitForTimeout(500); // the frames grow with it; nothing signals when they have
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

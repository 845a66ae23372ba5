import { readBudgets, termsOf, withoutPrices } from '../config/budgets.js';
import type { Config } from '../config/config.js';
import { type Prices, readPrices } from '../config/prices.js';
import type { BudgetTerms } from '../contract/budget.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { readWebhook, type WebhookSettings } from '../webhook/webhook-file.js';

/** What the files say that the configuration names; undefined: it names none. */
export interface NamedFiles {
  readonly prices: Prices | undefined;
  readonly budgets: BudgetTerms | undefined;
  readonly webhook: WebhookSettings | undefined;
}

/** @throws VideoError `ConfigurationInvalid` with the faults of all files at once, and for budgets without prices. */
export async function readNamedFiles({ pricesFile, budgetsFile, webhookFile }: Config): Promise<NamedFiles> {
  const faults: unknown[] = [];
  const kept = async <T>(file: string | undefined, read: (file: string) => Promise<T>): Promise<T | undefined> =>
    file === undefined ? undefined : read(file).catch((error: unknown) => void faults.push(error));
  const [prices, limits, webhook] = await Promise.all([
    kept(pricesFile, readPrices),
    kept(budgetsFile, readBudgets),
    kept(webhookFile, readWebhook),
  ]);
  if (budgetsFile !== undefined && pricesFile === undefined) faults.push(withoutPrices());
  if (faults.length > 0) throw together(faults);
  const budgets = prices === undefined || limits === undefined ? undefined : termsOf(prices, limits);
  return { prices, budgets, webhook };
}

function together(faults: readonly unknown[]): unknown {
  const [first] = faults;
  const known = faults.filter((fault) => fault instanceof VideoError);
  if (faults.length === 1 || known.length < faults.length) return first;
  return new VideoError(FailureType.ConfigurationInvalid, known.map(({ message }) => message).join('. '), {
    issues: known.flatMap(({ issues = [] }) => issues),
    billed: false,
    nextStep: known.map(({ nextStep = '' }) => nextStep).join(' '),
  });
}

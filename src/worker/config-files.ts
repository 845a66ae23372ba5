import { readBudgets, termsOf, withoutPrices } from '../config/budgets.js';
import type { Config } from '../config/config.js';
import { type Prices, readPrices } from '../config/prices.js';
import type { BudgetTerms } from '../contract/budget.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { readWebhook, type WebhookReceiverSettings } from '../webhook/webhook-file.js';

/** Contents of the files that the configuration names; undefined: it names none. */
export interface NamedFiles {
  readonly prices: Prices | undefined;
  readonly budgets: BudgetTerms | undefined;
  readonly webhook: WebhookReceiverSettings | undefined;
}

/** @throws VideoError `ConfigurationInvalid` with the faults of all files at once, and for budgets without prices. */
export async function readNamedFiles({
  pricesFile,
  budgetsFile,
  webhookFile,
}: Pick<Config, 'pricesFile' | 'budgetsFile' | 'webhookFile'>): Promise<NamedFiles> {
  const faults: Fault[] = [];
  const kept = async <T>(
    variable: string,
    file: string | undefined,
    read: (file: string) => Promise<T>,
  ): Promise<T | undefined> =>
    file === undefined ? undefined : read(file).catch((error: unknown) => void faults.push({ variable, error }));
  // One after another, so that the faults always come in the same order.
  const prices = await kept('WAN_VIDEO_PRICES', pricesFile, readPrices);
  const limits = await kept('WAN_VIDEO_BUDGETS', budgetsFile, readBudgets);
  const webhook = await kept('WAN_VIDEO_WEBHOOK', webhookFile, readWebhook);
  if (budgetsFile !== undefined && pricesFile === undefined) {
    faults.push({ variable: 'WAN_VIDEO_BUDGETS', error: withoutPrices() });
  }
  if (faults.length > 0) throw together(faults);
  const budgets = prices === undefined || limits === undefined ? undefined : termsOf(prices, limits);
  return { prices, budgets, webhook };
}

/** The faults of the file that a variable names. */
interface Fault {
  readonly variable: string;
  readonly error: unknown;
}

function together(faults: readonly Fault[]): unknown {
  const [first] = faults;
  const known = faults.flatMap(({ variable, error }) => (error instanceof VideoError ? [{ variable, error }] : []));
  if (faults.length === 1 || known.length < faults.length) return first?.error;
  const texts = known.map(({ error }) => error.message).join('. ');
  return new VideoError(FailureType.ConfigurationInvalid, `Files of the configuration are not usable: ${texts}`, {
    // Names the file of a field; a fault of the variable itself names the variable.
    issues: known.flatMap(({ variable, error: { issues = [] } }) =>
      issues.map(({ path, message }) => ({
        path,
        message: path === variable ? message : `${message} (${variable})`,
      })),
    ),
    billed: false,
    nextStep: known.map(({ error }) => error.nextStep ?? '').join(' '),
  });
}

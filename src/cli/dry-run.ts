import type { Client } from '@temporalio/client';
import { queryBudget } from '../client/account-slots.js';
import { WanVideoClient } from '../client/video-client.js';
import type { Config } from '../config/config.js';
import { amountOf, type Prices } from '../config/prices.js';
import {
  amountText,
  type Billable,
  type BudgetReached,
  billableText,
  budgetReachedFailure,
  type Money,
} from '../contract/budget.js';
import { decodeDataUri } from '../contract/image-reference.js';
import { slotsWorkflowId, videoWorkflowId } from '../contract/names.js';
import type { CanonicalRequest, VideoRequest } from '../contract/request.js';
import type { VideoResult } from '../contract/result.js';
import { canonicalRequest, parseRequest, requestFingerprint } from '../contract/validate.js';
import type { Ledger } from '../ledger/ledger.js';
import { previewRequest } from '../ledger/preview.js';
import { identifyImage } from '../media/stage-image.js';
import { errorObject } from '../text/result.js';

/** What `generate` would do; published as the result of `--dry-run --json`. */
export interface GenerationPlan {
  readonly dry_run: true;
  /**
   * `join`: share a running run; `cache`: answer without buying; `follow`: wait for what another run has bought; `buy`:
   * buy one task; `refuse`: fail, because the paid result of an earlier purchase was refused; `fetch`: the worker
   * fetches the image, and its content decides which of these it will be.
   */
  readonly action: 'join' | 'cache' | 'follow' | 'buy' | 'refuse' | 'fetch';
  readonly id: string;
  readonly worker: boolean;
  /** What a purchase is billed by; null when nothing is billed. */
  readonly billed: Billable | null;
  /** Of `billed`; null when nothing is billed or no prices are configured. */
  readonly price: Money | null;
  readonly cached: VideoResult | null;
  /** The budget that has no room for it; null when there is room, no budget, or no worker that could answer. */
  readonly budget: BudgetReached | null;
}

/** The name that an image in a `data:` URI has in the store, because what is done to it decides what equals it. */
async function identified(image: string): Promise<string> {
  return image.startsWith('data:') ? `asset:${(await identifyImage(decodeDataUri(image))).asset.key}` : image;
}

interface PlanOptions {
  /** The workflow id that the caller chose, if any. */
  readonly id: string | undefined;
  /** Whether a worker polls the queue; only a worker answers for the budgets. */
  readonly hasWorker: boolean;
  readonly provider: Pick<Config['provider'], 'providerId' | 'account'>;
  readonly ledger: Ledger;
  /** Called only when something would be billed. */
  readonly readPrices: () => Promise<Prices | undefined>;
}

/** Finds out what `generate` would do with a request. Stages nothing and starts nothing. */
export async function planGeneration(
  request: VideoRequest,
  client: Client,
  { id: ownId, hasWorker, provider, ledger, readPrices }: PlanOptions,
): Promise<GenerationPlan> {
  const parsed = parseRequest(request);
  const canonical = canonicalRequest(parsed);
  const { duration: seconds, resolution, audio, cache } = canonical;
  const id = ownId ?? videoWorkflowId(requestFingerprint(parsed));
  const shared = cache !== 'off' || ownId !== undefined;
  const { action, cached } =
    shared && (await isRunning(client, id))
      ? ({ action: 'join', cached: null } as const)
      : await previewRequest(ledger, { ...parsed, reference_image: await identified(parsed.reference_image) });
  const buys = action === 'buy' || action === 'fetch';
  const prices = buys ? await readPrices() : undefined;
  return {
    dry_run: true,
    action,
    id,
    worker: hasWorker,
    billed: buys ? { seconds, resolution, audio } : null,
    price:
      prices === undefined ? null : { amount: amountOf(prices, seconds, resolution, audio), currency: prices.currency },
    cached,
    budget: buys && hasWorker ? await findReachedBudget(client, canonical, provider) : null,
  };
}

/** A plan for people. */
export function planText({ action, id, worker, billed, price, cached, budget }: GenerationPlan, queue: string): string {
  const cost = price === null ? '; its price is not configured' : ` for ${amountText(price.amount)} ${price.currency}`;
  const purchase = billed === null ? '' : `${billableText(billed)}${cost}`;
  const actions = {
    join: `join the run that is already there: ${id}`,
    cache: `answer from the cache, buying nothing: ${cached?.video_url}`,
    refuse: 'fail, buying nothing: its result was paid before and refused; only cache "refresh" buys another one',
    follow: 'wait for the video that another run has bought, buying nothing',
    buy: `buy one video of ${purchase}`,
    fetch: `let the worker fetch the image, then find its video or buy one of ${purchase}`,
  };
  return [
    `action    ${actions[action]}`,
    `run       ${id}`,
    ...(budget === null
      ? []
      : [`budget    ${budgetReachedFailure(budget).message}; the run would end as budget_reached`]),
    `worker    ${worker ? 'running' : `none polls ${queue}`}`,
    'Nothing was sent.',
  ].join('\n');
}

/** The budget that has no room for the purchase now. Slots that do not answer do not stop the plan. */
async function findReachedBudget(
  client: Client,
  { tenant, duration: seconds, resolution, audio }: CanonicalRequest,
  { providerId, account }: PlanOptions['provider'],
): Promise<BudgetReached | null> {
  const question = { key: null, tenant, batch: null, cost: { seconds, resolution, audio } };
  const answer = await queryBudget(client, slotsWorkflowId(providerId, account), question).catch(() => undefined);
  return answer?.reached ?? null;
}

async function isRunning(client: Client, id: string): Promise<boolean> {
  try {
    return (await new WanVideoClient({ client }).describe(id, { progress: false })).status === 'running';
  } catch (error) {
    if (errorObject(error).type === 'RunNotFound') return false;
    throw error;
  }
}

import type { Client } from '@temporalio/client';
import { queryBudget } from '../client/account-slots.js';
import { WanVideoClient } from '../client/video-client.js';
import type { Config } from '../config/config.js';
import { amountOf } from '../config/prices.js';
import { type BudgetReached, budgetReachedFailure } from '../contract/budget.js';
import { slotsWorkflowId, videoWorkflowId } from '../contract/names.js';
import type { CanonicalRequest, VideoRequest } from '../contract/request.js';
import type { VideoResult } from '../contract/result.js';
import { canonicalRequest, parseRequest, requestFingerprint } from '../contract/validate.js';
import { previewRequest } from '../ledger/preview.js';
import { amountText } from '../text/amount.js';
import { ExitCode } from '../text/exit-code.js';
import { errorObject } from '../text/result.js';
import type { CommandContext } from './context.js';
import type { Pollers } from './pollers.js';
import type { RequestInput } from './request-input.js';

interface DryRunDeps {
  readonly client: Client;
  readonly config: Config;
  readonly pollers: Pollers;
}

/** What `generate` would do; published as the result of `--dry-run --json`. */
interface Plan {
  readonly dry_run: true;
  /**
   * `join`: share the run that is there; `cache`: answer without buying; `follow`: wait for what another run has bought;
   * `buy`: buy one task; `fetch`: the worker fetches the image, and only its content tells which of these it will be.
   */
  readonly action: 'join' | 'cache' | 'follow' | 'buy' | 'fetch';
  readonly id: string;
  readonly worker: boolean;
  /** What a purchase is billed by: seconds and tier in lines, with or without sound. */
  readonly billed: { readonly seconds: number; readonly resolution: string; readonly audio: boolean } | null;
  /** Of `billed`; null when nothing is billed or no prices are configured. */
  readonly price: { readonly amount: number; readonly currency: string } | null;
  readonly cached: VideoResult | null;
  /** The budget that has no room for it; null when there is room, no budget, or no worker that could say. */
  readonly budget: BudgetReached | null;
}

/** Tells what the same command without `--dry-run` would do. Stages nothing, starts nothing. */
export async function dryRun(
  flags: { readonly id?: string },
  draft: RequestInput,
  deps: DryRunDeps,
  context: CommandContext,
): Promise<number> {
  const reference = draft.local === undefined ? String(draft.reference) : `asset:${draft.local.known.key}`;
  const request = parseRequest({ ...draft.fields, reference_image: reference } as VideoRequest);
  const canonical = canonicalRequest(request);
  const id = flags.id ?? videoWorkflowId(requestFingerprint(request));
  const joins = canonical.cache === 'off' && flags.id === undefined ? false : await isRunning(id, deps);
  const { action, cached } = joins
    ? ({ action: 'join', cached: null } as const)
    : await previewRequest(await context.ledger(), request);
  const { duration, resolution, audio } = canonical;
  const buys = action === 'buy' || action === 'fetch';
  const prices = buys ? await context.prices() : undefined;
  const plan: Plan = {
    dry_run: true,
    action,
    id,
    worker: deps.pollers.live,
    billed: buys ? { seconds: duration, resolution, audio } : null,
    price:
      prices === undefined
        ? null
        : { amount: amountOf(prices, duration, resolution, audio), currency: prices.currency },
    cached,
    budget: buys && deps.pollers.live ? await budgetReached(canonical, deps) : null,
  };
  context.result(plan, planText(plan, deps.config));
  return ExitCode.done;
}

function planText({ action, id, worker, billed, price, cached, budget }: Plan, config: Config): string {
  const cost = price === null ? '; its price is not configured' : ` for ${amountText(price.amount)} ${price.currency}`;
  const purchase = `${billed?.seconds} s at ${billed?.resolution}, ${billed?.audio ? 'with sound' : 'silent'}${cost}`;
  const what = {
    join: `share the run that is there: ${id}`,
    cache: `answer from the cache, buying nothing: ${cached?.video_url}`,
    follow: 'wait for the video that another run has bought, buying nothing',
    buy: `buy one video of ${purchase}`,
    fetch: `let the worker fetch the image, then find its video or buy one of ${purchase}`,
  };
  return [
    `action    ${what[action]}`,
    `run       ${id}`,
    ...(budget === null ? [] : [`budget    ${budgetReachedFailure(budget).message}; it would end as budget_reached`]),
    `worker    ${worker ? 'there' : `none polls ${config.taskQueues.generate}`}`,
    'Nothing was sent.',
  ].join('\n');
}

/** What the account's slots would say to the purchase now. Their silence is no reason to tell nothing of the rest. */
async function budgetReached(
  { tenant, duration: seconds, resolution, audio }: CanonicalRequest,
  { client, config }: DryRunDeps,
): Promise<BudgetReached | null> {
  const slots = slotsWorkflowId(config.provider.providerId, config.provider.account);
  const question = { key: null, tenant, batch: null, cost: { seconds, resolution, audio } };
  return (await queryBudget(client, slots, question).catch(() => undefined))?.reached ?? null;
}

async function isRunning(id: string, { client, config }: DryRunDeps): Promise<boolean> {
  const videos = new WanVideoClient({ client, taskQueue: config.taskQueues.generate });
  try {
    return (await videos.describe(id, { progress: false })).status === 'running';
  } catch (error) {
    if (errorObject(error).type === 'RunNotFound') return false;
    throw error;
  }
}

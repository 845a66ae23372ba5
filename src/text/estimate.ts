import type { CommandContext } from '../cli/context.js';
import type { StartEstimate } from '../client/batch-client.js';
import type { BatchEstimate, EstimateAccount } from '../client/batch-estimate.js';
import type { ScheduleEstimate } from '../client/schedule-client.js';
import { amountText } from './amount.js';
import { durationText } from './duration.js';

/** Whose ledger, slots, render times and prices an estimate of this configuration rests on. */
export async function accountOf(context: CommandContext): Promise<EstimateAccount> {
  const { provider, rates } = await context.config();
  const prices = await context.prices();
  return { provider: provider.providerId, account: provider.account, maxRunning: rates.maxRunning, prices };
}

/** What `batch start` would do, for people. */
export function startEstimateText(estimate: StartEstimate): string {
  const { batch_id, already_existed, expected } = estimate;
  const minute = (at: string): string => `${at.slice(0, 16)}Z`;
  const [from, to] = [minute(expected.earliest_at), minute(expected.latest_at)];
  return [
    ...(already_existed ? [`The batch ${batch_id} exists; nothing would be started.`] : []),
    ...estimateLines(estimate),
    `done      about ${from === to ? to : `${from} to ${to}`}, started now`,
    'Nothing was sent.',
  ].join('\n');
}

/** What the next run of a schedule would come to, for people. */
export function scheduleEstimateLines(plan: ScheduleEstimate, timezone: string): string[] {
  const { next, manifest_key, estimate, expected, overlaps_next_run } = plan;
  if (estimate === null) return [`estimate  none: ${manifest_key ?? 'a manifest'} is not there yet`];
  const { earliest_at = '', latest_at = '' } = expected ?? {};
  return [
    ...estimateLines(estimate),
    ...(expected === null
      ? []
      : [`done      ${earliest_at === latest_at ? '' : `${earliest_at} to `}${latest_at} ${timezone}`]),
    ...(overlaps_next_run ? [`warning   it may not be done when the run after it is due, ${next[1]} ${timezone}`] : []),
  ];
}

const WOULD = {
  cached: 'answered from the cache',
  adopt: 'that share an open purchase',
  buy: 'to be bought',
  fetch: 'with an image of the web, counted as bought',
  duplicate: 'that ask for the same as an earlier one',
  invalid: 'left out for their faults',
} as const;

/** What a manifest comes to, for people. */
export function estimateLines({ counts, billed, price, duration, slots, window }: BatchEstimate): string[] {
  const { earliest_seconds: from, latest_seconds: to, learned } = duration;
  const basis = learned ? '' : '; a guess: of some kind among them no video is known to have been rendered';
  const ahead = slots.ahead === 0 ? '' : `, after ${slots.ahead} of others`;
  return [
    `lines     ${counts.total}`,
    ...(Object.keys(WOULD) as (keyof typeof WOULD)[])
      .filter((name) => counts[name] > 0)
      .map((name) => `          ${counts[name]} ${WOULD[name]}`),
    ...billed.map(
      ({ seconds, resolution, audio }) =>
        `billed    at most ${seconds} s at ${resolution}, ${audio ? 'with sound' : 'silent'}`,
    ),
    price === null
      ? 'amount    no price table (WAN_VIDEO_PRICES)'
      : `amount    at most ${amountText(price.amount)} ${price.currency}`,
    `slots     ${Math.min(slots.limit, window)} at a time${ahead}`,
    `takes     ${from === to ? '' : `${durationText(from)} to `}${durationText(to)}${basis}`,
  ];
}

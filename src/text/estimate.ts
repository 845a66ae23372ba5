import type { BatchEstimate } from '../client/batch-estimate.js';
import type { StartEstimate } from '../client/batch-start.js';
import type { ScheduleEstimate } from '../client/schedule-estimate.js';
import { amountText, billableText } from '../contract/budget.js';
import { utcMinute } from '../contract/utc.js';
import { durationText } from './duration.js';

/** What `batch start` would do, for people. */
export function startEstimateText(estimate: StartEstimate): string {
  const { batch_id, already_existed, expected } = estimate;
  const [from, to] = [expected.earliest_at, expected.latest_at].map((at) => utcMinute(Date.parse(at)));
  return [
    ...(already_existed ? [`The batch ${batch_id} exists; nothing would be started.`] : []),
    ...estimateLines(estimate),
    `done      about ${from === to ? to : `${from} to ${to}`}, started now`,
    'Nothing was sent.',
  ].join('\n');
}

/** What the next run of a schedule would cost and take, for people. */
export function scheduleEstimateLines(plan: ScheduleEstimate, timezone: string): string[] {
  const { next, manifest_key, estimate, expected, overlaps_next_run } = plan;
  if (estimate === null) return [`estimate  none: ${manifest_key ?? 'a manifest'} does not exist yet`];
  const { earliest_at = '', latest_at = '' } = expected ?? {};
  return [
    ...estimateLines(estimate),
    ...(expected === null
      ? []
      : [`done      ${earliest_at === latest_at ? '' : `${earliest_at} to `}${latest_at} ${timezone}`]),
    ...(overlaps_next_run ? [`warning   it may not be done when the next run is due, ${next[1]} ${timezone}`] : []),
  ];
}

const COUNTED = {
  cached: 'answered from the cache',
  adopt: 'joining an open purchase',
  buy: 'to be bought',
  refuse: 'bought before with a result that was refused: they fail, buying nothing',
  budget_reached: 'for which a budget has no room: they end as budget_reached, buying nothing',
  fetch: 'with an image from the web, counted as bought',
  duplicate: 'equal to an earlier line',
  invalid: 'left out because of faults',
} as const;

/** What a manifest would cost and take, for people. */
function estimateLines({ counts, billed, price, duration, slots, window }: BatchEstimate): string[] {
  const { earliest_seconds: from, latest_seconds: to, learned } = duration;
  const basis = learned ? '' : '; a guess: for some of these kinds of video no render time is known yet';
  const ahead = slots.ahead === 0 ? '' : `, after ${slots.ahead} others`;
  return [
    `lines     ${counts.total}`,
    ...(Object.keys(COUNTED) as (keyof typeof COUNTED)[])
      .filter((name) => counts[name] > 0)
      .map((name) => `          ${counts[name]} ${COUNTED[name]}`),
    ...billed.map((one) => `billed    at most ${billableText(one)}`),
    price === null
      ? 'amount    no price table (WAN_VIDEO_PRICES)'
      : `amount    at most ${amountText(price.amount)} ${price.currency}`,
    `slots     ${Math.min(slots.limit, window)} at a time${ahead}`,
    `takes     ${from === to ? '' : `${durationText(from)} to `}${durationText(to)}${basis}`,
  ];
}

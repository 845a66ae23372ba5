/** The prices that the workers are configured with; every generation is silent and 720P. */
export const PRICES = {
  currency: 'CNY',
  per_second: { '720P': { silent: 0.15, sound: 0.3 }, '1080P': { silent: 0.25, sound: 0.5 } },
};
const MICRO = 1_000_000;
const MICROS_PER_SECOND = Math.round(PRICES.per_second['720P'].silent * MICRO);

/** The tenant and the batch whose money is short. */
export const SHORT_TENANT = 'short';
export const SHORT_BATCH = 'second';
/** How much of what they ask for they may have; and everybody together, of what is left then. */
const SHORT_SHARE = 0.6;
const DAY_SHARE = 0.9;

/**
 * Budgets that bind for a part of a plan: for one tenant, for one batch and, at the end, for the day. In millionths of
 * the currency, because the judge counts them itself.
 */
export function limitsOf(plan) {
  const cost = (generations) => microsOf(generations.reduce((sum, { duration }) => sum + duration, 0));
  const isShort = ({ tenant, batch }) => tenant === SHORT_TENANT || batch === SHORT_BATCH;
  // One that is left may be left before it has bought anything.
  const sure = plan.filter(({ leave }) => leave === undefined);
  const short = (of) => Math.floor(SHORT_SHARE * cost(plan.filter(of)));
  const tenant = short((one) => one.tenant === SHORT_TENANT);
  const batch = short((one) => one.batch === SHORT_BATCH);
  const others = cost(sure.filter((one) => !isShort(one)));
  return { day: Math.floor(DAY_SHARE * (others + tenant + batch)), tenant, batch };
}

/** The file that `WAN_VIDEO_BUDGETS` names. */
export function budgetFileOf({ day, tenant, batch }) {
  const text = (micros) => (micros / MICRO).toFixed(6);
  return {
    day: text(day),
    tenants: { [SHORT_TENANT]: { day: text(tenant) } },
    // By its end, so that the name is one that begins like it.
    batches: { [`${SHORT_BATCH}*`]: text(batch) },
  };
}

/** The id of a batch of a run of chaos. */
export const batchIdOf = (name, seed) => `${name}-chaos-${seed}`;

const microsOf = (seconds) => seconds * MICROS_PER_SECOND;
/** The UTC day on which something ended. */
export const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);
const sumOf = (tasks) => microsOf(tasks.reduce((sum, { billed_seconds }) => sum + billed_seconds, 0));

/** The budgets that hold for a generation, and which of the provider's tasks count in each. */
function budgetsFor({ tenant, batch }, limits) {
  return [
    { scope: 'day', limit: limits.day, counts: () => true },
    ...(tenant === SHORT_TENANT
      ? [{ scope: 'tenant', limit: limits.tenant, counts: (payer) => payer.tenant === SHORT_TENANT }]
      : []),
    ...(batch === SHORT_BATCH
      ? [{ scope: 'batch', limit: limits.batch, counts: (payer) => payer.batch === SHORT_BATCH }]
      : []),
  ];
}

/** Budgets above which the provider has billed, by its own books; pure. */
export function overspent({ tasks, generations, limits }) {
  const payers = new Map(generations.map((generation) => [generation.prompt, generation]));
  const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
  const whole = { tenant: SHORT_TENANT, batch: SHORT_BATCH };
  return budgetsFor(whole, limits).flatMap(({ scope, limit, counts }) => {
    const counted = billed.filter(({ prompt }) => counts(payers.get(prompt) ?? {}));
    const days = new Map();
    // A batch has its money for its whole life.
    for (const task of counted) {
      const day = scope === 'batch' ? 'its life' : dayOf(task.end_ms);
      days.set(day, [...(days.get(day) ?? []), task]);
    }
    return [...days].flatMap(([day, all]) =>
      sumOf(all) > limit ? [`the budget of the ${scope} is overspent: ${sumOf(all)} of ${limit} on ${day}`] : [],
    );
  });
}

/** Midnight by two clocks. */
const CLOCKS_MS = 10_000;

/**
 * What is wrong with a run that ended as `budget_reached`: that its video was bought, or that there was room. What was
 * billed by the end of the run is at least what the slots knew when they refused it.
 * @param run.scope - The budget that it names.
 */
export function wronglyRefused({ id, prompt, scope, endedAtMs }, { tasks, generations, limits }) {
  const payers = new Map(generations.map((generation) => [generation.prompt, generation]));
  const generation = payers.get(prompt);
  const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
  const bought = billed.filter((task) => task.prompt === prompt && dayOf(task.end_ms) === dayOf(endedAtMs));
  const budget = budgetsFor(generation, limits).find((one) => one.scope === scope);
  if (budget === undefined) return [`refused by a budget that does not hold for it (${scope}): ${id}`];
  const { limit, counts } = budget;
  const days = [endedAtMs, endedAtMs - CLOCKS_MS].map(dayOf);
  const left = days.map((day) => {
    const before = billed.filter(({ end_ms }) => end_ms <= endedAtMs && (scope === 'batch' || dayOf(end_ms) === day));
    return limit - sumOf(before.filter((task) => counts(payers.get(task.prompt) ?? {})));
  });
  const room = Math.min(...left);
  return [
    ...(bought.length > 0 ? [`refused and bought all the same: ${id}`] : []),
    ...(microsOf(generation.duration) <= room ? [`refused although the ${scope} had ${room} left: ${id}`] : []),
  ];
}

/**
 * What the slots believe at the end, against the provider's books: nothing is reserved any more, and everything billed
 * is counted.
 */
export function slotsBelieve({ holders, budgets = [] }, { tasks, generations, limits, nowMs }) {
  const payers = new Map(generations.map((generation) => [generation.prompt, generation]));
  const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
  const all = budgetsFor({ tenant: SHORT_TENANT, batch: SHORT_BATCH }, limits);
  return [
    ...(holders.length > 0 ? [`${holders.length} slots are held by nobody`] : []),
    ...budgets.flatMap(({ scope, name, spent, reserved }) => {
      const budget = all.find((one) => one.scope === scope);
      const counted = billed.filter(
        ({ prompt, end_ms }) =>
          budget?.counts(payers.get(prompt) ?? {}) && (scope === 'batch' || dayOf(end_ms) === dayOf(nowMs)),
      );
      const really = sumOf(counted);
      const said = spent === null ? null : Math.round(spent * MICRO);
      return [
        ...(reserved === 0 ? [] : [`the slots still reserve ${reserved} for the ${scope} ${name ?? ''}`]),
        ...(said === really ? [] : [`the slots count ${said} for the ${scope} ${name ?? ''}; billed are ${really}`]),
      ];
    }),
  ];
}

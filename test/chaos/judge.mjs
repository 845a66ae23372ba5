import { createHash } from 'node:crypto';
import { overspent, wronglyRefused } from './money.mjs';

/**
 * How the provider's own books, the store and the runs fit together; pure. `violations` is empty when nothing was
 * broken.
 * @param evidence.booked - The ledger's day records: task, seconds, and whether the provider did not state them.
 * @param evidence.summaries - Of each batch: its id, and the seconds and counts of its result and of its report's
 * lines.
 * @param evidence.beliefs - What the account's slots still believe that is not so.
 */
export function verdict(evidence) {
  const { tasks, hashes, generations, limits, runs, open, openPurchases, reports } = evidence;
  const { booked, summaries, beliefs } = evidence;
  const byPrompt = groupByPrompt(tasks);
  const billed = tasks.filter(({ billed_seconds }) => billed_seconds > 0);
  const billedOf = (prompt) => (byPrompt.get(prompt) ?? []).filter(({ billed_seconds }) => billed_seconds > 0);
  const left = new Set(generations.filter(({ leave }) => leave !== undefined).map(({ prompt }) => prompt));

  const duplicates = generations.filter(({ prompt }) => billedOf(prompt).length > 1);
  const losses = billed.filter(({ task_id }) => hashes.get(task_id)?.stored !== hashes.get(task_id)?.provider);
  const refused = runs.filter(({ end }) => end === REFUSED);
  const isRefused = new Set(refused.map(({ prompt }) => prompt));
  const unbought = generations.filter(
    ({ prompt }) => !left.has(prompt) && !isRefused.has(prompt) && billedOf(prompt).length === 0,
  );
  const failed = runs.filter(
    ({ end, leave }) => end !== 'completed' && end !== REFUSED && (leave === undefined || end !== LEFT[leave]),
  );
  const above = overspent({ tasks, generations, limits });
  const wrongly = refused.flatMap((run) => wronglyRefused(run, { tasks, generations, limits }));
  const isParked = ({ stage }) => stage.startsWith('needs_attention');
  const parked = open.filter(isParked);
  const hanging = open.filter((run) => !isParked(run));
  const gaps = billed.flatMap(({ task_id, end_ms }) => {
    const at = hashes.get(task_id)?.storedAtMs;
    return at === undefined ? [] : [at - end_ms];
  });
  // What a batch's report says of a line is what the provider billed for it, to the second.
  const misreported = reports.filter(({ prompt, billed_seconds }) => {
    return billed_seconds !== secondsOf(billedOf(prompt));
  });
  // Each billed task is booked once; what the provider did not state is what was requested, which is what it bills.
  const misbooked = billed.flatMap(({ task_id, billed_seconds }) => {
    const own = booked.filter((bill) => bill.task_id === task_id).map(({ seconds }) => seconds);
    return own.length === 1 && own[0] === billed_seconds
      ? []
      : [`booked with ${own.join(' + ') || 'nothing'}, billed with ${billed_seconds} s: task ${task_id}`];
  });
  const free = booked.filter((bill) => !billed.some(({ task_id }) => task_id === bill.task_id));
  const unequal = summaries.filter(({ summary, lines }) => JSON.stringify(summary) !== JSON.stringify(lines));
  const bought = duplicates.map(({ prompt }) => `bought ${billedOf(prompt).length} times: ${prompt}`);
  const violations = [
    ...bought,
    ...above,
    ...wrongly,
    ...losses.map(({ task_id, prompt }) => `billed and not in the store: task ${task_id}, ${prompt}`),
    ...unbought.map(({ prompt }) => `never bought: ${prompt}`),
    ...failed.map(({ id, end }) => `run ended as ${end}: ${id}`),
    ...parked.map(({ id, stage }) => `parked for a person: ${id} (${stage})`),
    ...hanging.map(({ id, stage }) => `did not end: ${id} (${stage})`),
    ...misreported.map(
      ({ prompt, billed_seconds }) => `reported with ${billed_seconds} s, which is not what was billed: ${prompt}`,
    ),
    ...unequal.map(
      ({ id, summary, lines }) => `batch ${id} says ${JSON.stringify(summary)}, its lines ${JSON.stringify(lines)}`,
    ),
    ...misbooked,
    ...free.map(({ task_id, seconds }) => `booked with ${seconds} s, billed with nothing: task ${task_id}`),
    ...beliefs,
    ...openPurchases.map((name) => `open in the ledger: ${name}`),
  ];
  const salvaged = billed.filter(({ prompt }) => left.has(prompt));
  return {
    purchases: billed.length,
    free: tasks.length - billed.length,
    estimated: booked.filter(({ estimated }) => estimated).length,
    losses: losses.length,
    duplicates: duplicates.length,
    overspent: above.length,
    wronglyRefused: wrongly.length,
    refused: countsOf(refused.map(({ scope }) => scope)),
    parked: parked.length,
    left: {
      runs: left.size,
      billed: salvaged.length,
      salvaged: salvaged.filter((task) => !losses.includes(task)).length,
    },
    worstGapMs: Math.max(0, ...gaps),
    bought,
    above,
    violations,
  };
}

/** How a run ends that a budget has no room for. */
export const REFUSED = 'budget_reached';

const secondsOf = (tasks) => tasks.reduce((sum, { billed_seconds }) => sum + billed_seconds, 0);

/** How often each name occurs. */
const countsOf = (names) =>
  Object.fromEntries([...new Set(names)].map((name) => [name, names.filter((one) => one === name).length]));

const LEFT = { cancel: 'cancelled', terminate: 'terminated' };

function groupByPrompt(tasks) {
  const groups = new Map();
  for (const task of tasks) groups.set(task.prompt, [...(groups.get(task.prompt) ?? []), task]);
  return groups;
}

/**
 * The task as the provider shows it; a 429 is waited out, because many tasks are more than the account may ask for in a
 * second.
 */
async function queryUntilAnswered(url, key) {
  for (let tries = 1; ; tries += 1) {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
    if (answer.ok) return (await answer.json()).output;
    if (answer.status !== 429 || tries === 50) throw new Error(`the provider does not show a task (${answer.status})`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** SHA-256 of each billed task's video, as the provider serves it and as it lies in the store. */
export async function hashesOf(tasks, { baseUrl, key, store }) {
  const hashes = new Map();
  for (const { task_id } of tasks.filter(({ billed_seconds }) => billed_seconds > 0)) {
    const output = await queryUntilAnswered(`${baseUrl}/tasks/${task_id}`, key);
    const file = await fetch(output.video_url);
    if (!file.ok) throw new Error(`the provider does not serve the video of ${task_id} (${file.status})`);
    const name = `videos/${task_id}.mp4`;
    const info = await store.head(name);
    hashes.set(task_id, {
      provider: createHash('sha256')
        .update(Buffer.from(await file.arrayBuffer()))
        .digest('hex'),
      stored: info === undefined ? undefined : await hashOf(await store.get(name)),
      storedAtMs: info?.modifiedAtMs,
    });
  }
  return hashes;
}

async function hashOf(stream) {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

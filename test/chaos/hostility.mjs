import { randomUUID } from 'node:crypto';

/** One of so many generations comes with something hostile. */
const ONE_IN = 10;

const brackets = JSON.parse(`${'['.repeat(3_000)}${']'.repeat(3_000)}`);
const many = (count, value) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`name-${n}`, value]));
/** Changes of a valid request, each of which is refused before anything is bought. */
export const REQUESTS = {
  'a field with a name of 200 kB': { ['x'.repeat(200_000)]: 1 },
  '10,000 labels': { labels: many(10_000, 'x') },
  '1.9 MB': { prompt: 'x'.repeat(1_900_000) },
  'brackets in brackets': { prompt: brackets },
  'NUL in its prompt': { prompt: 'a\0b' },
  'half a character': { tenant: 'a\ud800' },
  'a field named toString': { toString: 1 },
};

/** Results that are not what a video looks like: for good, and only at first. */
const FILES = [
  { fault: 'patch', find: 'avc1', with: 'xvid', times: null },
  { fault: 'patch', find: 'avc1', with: 'hvc1', times: null },
  { fault: 'patch', append_bytes: 2, times: null },
  { fault: 'not-mp4', times: 2 },
  { fault: 'zero-fill', keep_bytes: 4_096, times: 2 },
  { fault: 'encoded', encoding: 'br', times: 2 },
];

const SIGNALS = [
  ...[
    'cancel',
    'resolveSubmit',
    'slot',
    'requestSlot',
    'releaseSlot',
    'withdrawSlotRequest',
    'setSlotLimit',
    'slotsRestarted',
  ],
  ...['pause', 'resume', 'setWindow', 'itemEnded', 'noSuchSignal'],
];
const payload = (encoding, data) => ({ metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from(data) });
/** Arguments that no signal takes. */
const ARGUMENTS = [
  payload('json/plain', '7'),
  payload('json/plain', '{"reason":{"toString":1},"window":{"valueOf":1},"item_id":{"toString":1}}'),
  payload('json/plain', '{"unfinished":'),
  payload('json/plain', `{"reason":"${'x'.repeat(40_000)}"}`),
  payload('binary/encrypted', 'another program has the key'),
];

/**
 * Adds to a plan, decided by a stream of random numbers of its own: a hostile request next to a generation, a hostile
 * file as its result, or hostile messages to its run.
 */
export function withHostility(plan, random) {
  return plan.map((generation) => {
    if (!random.chance(1 / ONE_IN)) return generation;
    const kind = random.pick(['request', 'file', 'messages']);
    if (kind === 'request') return { ...generation, hostile: random.pick(Object.keys(REQUESTS)) };
    if (kind === 'messages') return { ...generation, hostile: 'messages' };
    const file = { on: 'download', match: generation.prompt, ...random.pick(FILES) };
    return { ...generation, hostile: 'file', faults: [...generation.faults, file] };
  });
}

/**
 * Sends what is hostile about a generation while it runs.
 * @param workflowIds - The generation's own run, and others that its neighbours use.
 * @returns what it had an effect on, although it must have none.
 */
export async function sendHostility({ hostile }, request, { client, taskQueue, workflowIds }) {
  if (hostile === 'messages') {
    await Promise.all(workflowIds.flatMap((id) => SIGNALS.map((name) => signal(client, id, name))));
    return [];
  }
  const change = REQUESTS[hostile];
  if (change === undefined) return [];
  const workflowId = `hostile/${randomUUID()}`;
  // A line's own name is no field of a request.
  const args = [{ ...request, item_id: undefined, prompt: workflowId, ...change }];
  const run = await client.workflow.start('videoGenerate', { workflowId, taskQueue, args });
  const type = await run.result().then(
    () => 'a video',
    (error) => error.cause?.cause?.type ?? error.cause?.type ?? String(error),
  );
  return type === 'InvalidRequest' ? [] : [`the request with ${hostile} ended with ${type}: ${workflowId}`];
}

/** Sends a signal with each of the arguments; a run that has ended takes none. */
async function signal(client, workflowId, signalName) {
  for (const argument of ARGUMENTS) {
    await client.workflowService
      .signalWorkflowExecution({
        namespace: client.options.namespace,
        workflowExecution: { workflowId },
        signalName,
        input: { payloads: [argument] },
        requestId: randomUUID(),
      })
      .catch(() => undefined);
  }
}

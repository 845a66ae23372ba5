import { randomBytes } from 'node:crypto';
import { runCommand } from './processes.mjs';

/**
 * What an audit did not explain as it must; pure.
 * @param report - Of `wan-video audit --json`.
 * @param tasks - The provider's own list.
 * @param planted - The task that is an orphan; undefined: none is.
 */
export function misexplained({ code, report }, { tasks, planted }) {
  const explained = new Map(report.explained.map((task) => [task.task_id, task]));
  const wrong = tasks.flatMap(({ task_id, billed_seconds }) => {
    const { verdict = 'not listed', why = '' } = explained.get(task_id) ?? {};
    const paid = billed_seconds > 0 ? ['archived', 'adopted'] : ['free', 'other_software'];
    const expected = task_id === planted ? ['orphan'] : paid;
    return expected.includes(verdict) ? [] : [`the audit calls task ${task_id} ${verdict}: ${why}`];
  });
  const exit = planted === undefined ? 0 : 1;
  const billed = tasks.reduce((sum, task) => sum + task.billed_seconds, 0);
  const { provider, ledger } = report.seconds;
  // The bill of an orphan is written when its salvage ends.
  const agrees = provider === billed && (planted !== undefined || ledger === billed);
  return [
    ...wrong,
    ...(code === exit ? [] : [`the audit ended with ${code}, not with ${exit}`]),
    ...(planted === undefined || report.rescued.length === 1 ? [] : [`the audit rescued ${report.rescued.length}`]),
    ...(agrees ? [] : [`the provider billed ${billed} s, the audit says ${provider} s, the ledger ${ledger} s`]),
  ];
}

/**
 * Plants a paid task that a reconciliation has missed, has an audit find and rescue it, and a second one explain
 * everything.
 * @param generation - One whose purchase and video are as any other's; the planted ones equal them.
 * @returns what the audits did not explain.
 */
export async function auditPlanted({ generation, emulator, ledger, client, dist, env }) {
  const audit = async () => {
    const { code, stdout } = await runCommand(dist, ['audit', '--json'], env);
    return { code, report: JSON.parse(stdout) };
  };
  const books = async () => (await emulator.control('state')).tasks;
  const planted = await plant(generation, { emulator, ledger, tasks: await books() });
  const first = await audit();
  const wrong = misexplained(first, { tasks: await books(), planted });
  for (const id of first.report.rescued) await client.workflow.getHandle(id).result();
  return [...wrong, ...misexplained(await audit(), { tasks: await books(), planted: undefined })];
}

async function plant({ prompt, duration }, { emulator, ledger, tasks }) {
  const owner = await ledger.findTask(tasks.find((task) => task.prompt === prompt).task_id);
  const { intent } = await ledger.requirePurchase({ key: owner.purchase_key, n: owner.n });
  const own = ['kind', 'v', 'token', 'written_at_ms', 'purchase_key', 'n'];
  const fields = Object.fromEntries(Object.entries(intent).filter(([name]) => !own.includes(name)));
  const purchase = { key: randomBytes(32).toString('hex'), n: 1 };
  await ledger.openIntent(purchase, fields);
  await ledger.decideNotCreated(purchase, { reason: 'none_found', failure: null });
  const { width, height } = intent.expects.image;
  const parameters = { duration, resolution: '720P', audio: false };
  const { task_id } = await emulator.control('tasks', { prompt, parameters, image: { width, height } });
  await emulator.control(`tasks/${task_id}`, { status: 'SUCCEEDED' });
  return task_id;
}

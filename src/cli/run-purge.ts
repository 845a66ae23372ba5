import { createInterface } from 'node:readline/promises';
import { invalidRequest } from '../contract/validate.js';
import { PURGE_AREAS, type PurgeChoice, type PurgePlan, planPurge, purge } from '../ledger/purge.js';
import { ExitCode } from '../text/exit-code.js';
import { table } from '../text/table.js';
import type { PurgeFlags } from './commands/purge.js';
import type { CommandContext } from './context.js';

/** Tells what would be deleted, and deletes it when that was allowed. */
export async function runPurge(flags: PurgeFlags, context: CommandContext): Promise<number> {
  const choice = choiceOf(flags);
  const store = await context.store();
  const plan = await planPurge(store, choice, Date.now());
  const { stdin, stderr } = context.io;
  const terminal = stdin.isTTY === true && stderr.isTTY === true;
  const tell = (done: PurgePlan, deleted: boolean): void => context.result(report(done, deleted), text(done, deleted));
  if (flags.dryRun === true || (plan.items.length === 0 && (flags.yes === true || terminal))) {
    tell(plan, false);
    return ExitCode.done;
  }
  if (flags.yes === true) {
    await purge(store, plan);
    tell(plan, true);
    return ExitCode.done;
  }
  if (!terminal) {
    tell(plan, false);
    context.say('Nothing was deleted: add --yes to delete it, or --dry-run to be only told.');
    return ExitCode.invalid;
  }
  context.say(text(plan, false));
  if (!(await confirmed(context))) {
    context.result(report(plan, false), 'Nothing was deleted.');
    return ExitCode.cancelled;
  }
  // The answer may have taken an hour, and purchases were opened meanwhile: only what is still to be deleted is.
  const agreed = new Set(plan.items.map(({ key }) => key));
  const again = await planPurge(store, choice, Date.now());
  const still = { ...again, items: again.items.filter(({ key }) => agreed.has(key)) };
  await purge(store, still);
  tell(still, true);
  return ExitCode.done;
}

function choiceOf({ olderThan, prefix, reference }: PurgeFlags): PurgeChoice {
  if (reference !== undefined) return { by: 'reference', key: reference };
  if (olderThan === undefined) {
    throw invalidRequest([{ path: '', message: 'say what to purge: either --older-than or --reference is needed' }]);
  }
  return { by: 'age', olderThanMs: olderThan, areas: prefix === undefined ? PURGE_AREAS : [prefix] };
}

async function confirmed({ io: { stdin, stderr } }: CommandContext): Promise<boolean> {
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    const closed = new Promise<string>((done) => lines.once('close', () => done('')));
    return /^y(es)?$/i.test((await Promise.race([lines.question('Delete it? [y/N] '), closed])).trim());
  } finally {
    lines.close();
  }
}

/** Published as the result of `purge --json`. */
function report({ items, keptOpen, keptRecent }: PurgePlan, deleted: boolean) {
  return {
    deleted,
    objects: items.length,
    bytes: sum(items.map(({ bytes }) => bytes)),
    cache_records: sum(items.map(({ pointers }) => pointers.length)),
    prefixes: Object.fromEntries(
      PURGE_AREAS.map((area) => {
        const there = items.filter((item) => item.area === area);
        return [area, { objects: there.length, bytes: sum(there.map(({ bytes }) => bytes)) }];
      }),
    ),
    kept_open: keptOpen,
    kept_recent: keptRecent,
  };
}

function text(plan: PurgePlan, deleted: boolean): string {
  const { objects, bytes, cache_records, prefixes, kept_open, kept_recent } = report(plan, deleted);
  const rows = Object.entries(prefixes).map(([name, there]) => [name, String(there.objects), String(there.bytes)]);
  const kept = [
    ...(kept_open > 0 ? [`${kept_open} more stay: they belong to an open purchase, or may.`] : []),
    ...(kept_recent > 0 ? ['The image stays: it is younger than 25 hours, and a run may still need it.'] : []),
  ];
  return [
    deleted ? 'Deleted:' : 'Would be deleted:',
    table(['prefix', 'objects', 'bytes'], [...rows, ['total', String(objects), String(bytes)]]),
    `cache records that point to them: ${cache_records}`,
    ...kept,
  ].join('\n');
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

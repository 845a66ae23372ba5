import { type Command, Option } from 'commander';
import { WanVideoClient } from '../../client/video-client.js';
import type { VideoRun } from '../../client/video-run.js';
import { invalidRequest } from '../../contract/validate.js';
import { ExitCode } from '../../text/exit-code.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';
import { collect, JSON_FLAG, parseLabels, wholeNumber } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

interface ListFlags {
  readonly batch?: string;
  readonly tenant?: string;
  readonly outcome?: string;
  readonly label?: readonly string[];
  readonly limit: number;
}

/** Values of `VideoOutcome` that find generations; not `running`, which only runs that our client started have. */
const OUTCOMES = ['generated', 'cache', 'adopted', 'failed', 'cancelled', 'budget_reached', 'needs_attention'];

/** `wan-video list`: the latest runs. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Lists the runs that match every given condition, newest first. A run shows up a moment after its start.',
    )
    .option('--batch <id>', 'of one batch')
    .option('--tenant <name>', 'of one tenant')
    .addOption(new Option('--outcome <outcome>', 'how it ended, or that it waits for a person').choices(OUTCOMES))
    .option('--label <name=value>', 'with this label; may be repeated', collect)
    .option('--limit <n>', 'show at most this many', wholeNumber(1, 999_999), 20)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  wan-video list --tenant film --outcome failed --limit 50')
    .action(context.action((flags: ListFlags) => list(flags, context)));
}

async function list({ batch, tenant, outcome, label, limit }: ListFlags, context: CommandContext): Promise<number> {
  const { values: labels, issues } = parseLabels(label ?? []);
  if (issues.length > 0) throw invalidRequest(issues);
  const runs: VideoRun[] = [];
  await withTemporal(await new Settings(context.io).target(), async (client) => {
    for await (const run of new WanVideoClient({ client }).list({ batchId: batch, tenant, outcome, labels })) {
      runs.push(run);
      if (runs.length >= limit) break;
    }
  });
  context.result({ runs }, runs.length === 0 ? 'No run.' : table(HEAD, runs.map(row)));
  return ExitCode.done;
}

const HEAD = ['RUN', 'STATUS', 'OUTCOME', 'ERROR', 'STARTED', 'TASK', 'TENANT', 'LABELS'];

const row = ({ id, status, outcome, error_code, started_at, task_id, tenant, labels }: VideoRun): string[] => [
  id,
  status,
  // A terminated run keeps the last outcome that it wrote; its status says more.
  outcome === null || outcome === 'running' ? '-' : outcome,
  error_code ?? '-',
  started_at,
  task_id ?? '-',
  tenant ?? '-',
  labels.length === 0 ? '-' : labels.join(','),
];

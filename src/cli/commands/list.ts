import { type Command, InvalidArgumentError, Option } from 'commander';
import type { VideoRun } from '../../client/video-run.js';
import { ExitCode } from '../../text/exit-code.js';
import { table } from '../../text/table.js';
import type { CommandContext } from '../context.js';

interface ListFlags {
  readonly batch?: string;
  readonly tenant?: string;
  readonly outcome?: string;
  readonly label?: readonly string[];
  readonly limit: number;
}

/** What `VideoOutcome` of a generation can be asked for; `running` is not: only runs that our client started have it. */
const OUTCOMES = ['generated', 'cache', 'adopted', 'failed', 'cancelled', 'budget_reached', 'needs_attention'];

/** `wan-video list`: the latest runs. */
export function addList(program: Command, context: CommandContext): void {
  program
    .command('list')
    .summary('list runs, the newest first')
    .description('Lists runs, the newest first; conditions hold together. A run shows up a moment after its start.')
    .option('--batch <id>', 'of one batch')
    .option('--tenant <name>', 'of one tenant')
    .addOption(new Option('--outcome <outcome>', 'how it ended, or that it waits for a person').choices(OUTCOMES))
    .option('--label <name=value>', 'with this label; may be repeated', (label: string, labels: string[] = []) => [
      ...labels,
      label,
    ])
    .option('--limit <n>', 'at most so many', wholeNumber, 20)
    .option('--json', 'one JSON document on stdout, also for errors')
    .addHelpText('after', '\nExample:\n  wan-video list --tenant film --outcome failed --limit 50')
    .action(
      context.action(async ({ batch, tenant, outcome, label, limit }: ListFlags) => {
        const [{ WanVideoClient }, { labelsOf }, { invalidRequest }] = await Promise.all([
          import('../../client/video-client.js'),
          import('../request-input.js'),
          import('../../contract/validate.js'),
        ]);
        const { values: labels, issues } = labelsOf(label ?? []);
        if (issues.length > 0) throw invalidRequest(issues);
        const runs: VideoRun[] = [];
        await context.temporal(async ({ client }) => {
          const found = new WanVideoClient({ client }).list({ batchId: batch, tenant, outcome, labels });
          for await (const run of found) {
            runs.push(run);
            if (runs.length >= limit) break;
          }
        });
        context.result({ runs }, runs.length === 0 ? 'No run.' : table(HEAD, runs.map(row)));
        return ExitCode.done;
      }),
    );
}

const HEAD = ['RUN', 'STATUS', 'OUTCOME', 'ERROR', 'STARTED', 'TASK', 'TENANT', 'LABELS'];

const row = ({ id, status, outcome, error_code, started_at, task_id, tenant, labels }: VideoRun): string[] => [
  id,
  status,
  // What was terminated keeps the last word of its run: its status tells.
  outcome === null || outcome === 'running' ? '-' : outcome,
  error_code ?? '-',
  started_at,
  task_id ?? '-',
  tenant ?? '-',
  labels.length === 0 ? '-' : labels.join(','),
];

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1 to 999999.');
  return Number(text);
}

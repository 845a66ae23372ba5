import type { Command } from 'commander';
import { ensureAuditSchedule } from '../../client/audit.js';
import { checkEndpointName, ensureNexusEndpoint } from '../../client/nexus-endpoint.js';
import { registerSearchAttributes } from '../../client/setup.js';
import { ensureSweepSchedule } from '../../client/sweep-schedule.js';
import { ExitCode } from '../../text/exit-code.js';
import type { CommandContext } from '../context.js';
import { JSON_FLAG } from '../flags.js';
import { Settings } from '../settings.js';
import { withTemporal } from '../with-temporal.js';

interface SetupFlags {
  readonly nexusEndpoint?: string;
  readonly audit?: boolean;
}

/** `wan-video setup`: prepares the configured namespace. */
export function defineCommand(command: Command, context: CommandContext): void {
  command
    .description(
      'Registers the search attributes in the configured namespace, and the hourly schedule that looks for ' +
        'purchases whose run is gone. You can repeat it: nothing changes then. Where attributes cannot be ' +
        'registered, it prints the lines for your administrator; runs work without them.',
    )
    .option('--nexus-endpoint <name>', 'also make a Nexus endpoint that leads to the workers of the configured queue')
    .option('--audit', 'also audit the account every night, and twelve hours later: see "wan-video audit"')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  TEMPORAL_ADDRESS=127.0.0.1:7233 wan-video setup')
    .action(context.action((flags: SetupFlags) => setUp(flags, context)));
}

async function setUp({ nexusEndpoint: endpoint, audit = false }: SetupFlags, context: CommandContext): Promise<number> {
  if (endpoint !== undefined) checkEndpointName(endpoint);
  const settings = new Settings(context.io);
  const { taskQueues } = settings.config();
  const done = await withTemporal(await settings.target(), async (client) => ({
    // First, because it works where attributes cannot be registered.
    sweep_schedule: await ensureSweepSchedule(client, taskQueues.generate),
    ...(endpoint !== undefined && {
      nexus_endpoint: await ensureNexusEndpoint(client, endpoint, taskQueues.generate),
    }),
    ...(audit && { audit_schedule: await ensureAuditSchedule(client, taskQueues.generate) }),
    registered: await registerSearchAttributes(client),
  }));
  const attributes =
    done.registered.length === 0
      ? 'The search attributes were already registered.'
      : `Registered ${done.registered.join(', ')}.`;
  const sweep =
    done.sweep_schedule === 'created'
      ? 'The schedule of the hourly sweep was created.'
      : 'The schedule of the hourly sweep already existed and is up to date.';
  const nexus = done.nexus_endpoint === undefined ? '' : `\nThe Nexus endpoint ${endpoint}: ${done.nexus_endpoint}.`;
  const nightly = done.audit_schedule === undefined ? '' : `\nThe schedule of the audit was ${done.audit_schedule}.`;
  context.result(done, `${attributes}\n${sweep}${nexus}${nightly}`);
  return ExitCode.done;
}

import type { Client } from '@temporalio/client';
import { connectClient, isTemporalError, temporalError } from '../../client/connect.js';
import { raisedQuotas } from '../../config/quotas.js';
import { ExitCode } from '../../text/exit-code.js';
import { secretsOf } from '../../text/result.js';
import type { CommandContext } from '../context.js';
import { Settings } from '../settings.js';
import { checkFfmpeg } from './check-ffmpeg.js';
import { checkNetwork } from './check-network.js';
import { checkClock, checkCredentials, checkProvider } from './check-provider.js';
import { checkPurchases } from './check-purchases.js';
import { checkBatches, checkRuns, checkSlots } from './check-runs.js';
import { checkSharing, checkSpool, checkStore } from './check-store.js';
import { checkNamespace, checkSearchAttributes, checkSweep, checkWorkers } from './check-temporal.js';
import { checkWebhook } from './check-webhook.js';
import { check, reportText, Skipped } from './report.js';

/** Makes every check, whether the others pass or not, and reports them in a fixed order. */
export async function runDoctor(context: CommandContext): Promise<number> {
  const settings = new Settings(context.io);
  const secrets = secretsOf(context.io.env);
  // What several checks depend on is made once; a check is skipped when what it needs has failed.
  const config = (async () => settings.config())();
  const target = settings.target();
  const client = target.then((where) => connectClient(where));
  const temporal = (async () => checkNamespace(await client, await target))();
  const key = settings.apiKey();
  key.then((secret) => secrets.push(secret.reveal())).catch(() => undefined);
  const needs = async <T>(value: Promise<T>, why: string): Promise<T> =>
    value.catch(() => {
      throw new Skipped(`not checked: ${why}`);
    });
  const configured = () => needs(config, 'the configuration is not usable');
  const inTemporal = async (probe: (client: Client) => Promise<string>): Promise<string> => {
    await needs(temporal, 'Temporal cannot be used');
    return probe(await client).catch(async (error: unknown) => {
      throw isTemporalError(error) ? temporalError(error, await target) : error;
    });
  };

  const probes: Record<string, () => Promise<string>> = {
    configuration: async () => {
      const { provider, rates, store, taskQueues, payloadCodec } = await config;
      const { prices, budgets } = await settings.pricesAndBudgets();
      return [
        `provider ${provider.providerId}`,
        `account ${provider.account}`,
        `store ${store.kind === 'file' ? store.path : `s3://${store.bucket}/${store.prefix}`}`,
        `queues ${taskQueues.generate} and ${taskQueues.submit}`,
        ...(payloadCodec === undefined ? [] : [`payload codec ${payloadCodec}`]),
        ...(prices === undefined ? [] : [`prices in ${prices.currency}`]),
        ...(budgets === undefined ? [] : ['budgets']),
        ...raisedQuotas(provider.providerId, rates),
      ].join(', ');
    },
    network: async () => checkNetwork(await configured()),
    temporal: () => temporal,
    search_attributes: () => inTemporal(checkSearchAttributes),
    workers: async () => {
      const { taskQueues } = await configured();
      return inTemporal((client) => checkWorkers(client, taskQueues, Date.now()));
    },
    ffmpeg: async () => {
      const known = await configured();
      const isNamed = (context.io.env['WAN_VIDEO_FFMPEG'] ?? '') !== '';
      return inTemporal((client) => checkFfmpeg(client, known, Date.now(), isNamed));
    },
    sweep: async () => {
      const { taskQueues } = await configured();
      return inTemporal((client) => checkSweep(client, taskQueues.generate, Date.now()));
    },
    runs: () => inTemporal((client) => checkRuns(client, Date.now())),
    batches: () => inTemporal(checkBatches),
    slots: async () => {
      const known = await configured();
      // The check of the configuration reports a fault of the files.
      const budgets = await settings.pricesAndBudgets().then(
        (files) => files.budgets,
        () => undefined,
      );
      return inTemporal((client) => checkSlots(client, known, budgets, Date.now()));
    },
    purchases: async () => {
      const { taskQueues } = await configured();
      const ledger = settings.ledger();
      return inTemporal((client) => checkPurchases(client, ledger, taskQueues.generate, Date.now()));
    },
    store: async () => {
      const { store } = await configured();
      return checkStore(settings.store(), store.kind === 'file' ? store.path : undefined);
    },
    store_sharing: async () =>
      checkSharing(await configured(), await needs(target, 'the address of Temporal is unknown')),
    credentials: async () => checkCredentials(await key),
    provider: async () => checkProvider(await configured(), (await needs(key, 'there is no key')).reveal()),
    webhook: async () => {
      await configured();
      return checkWebhook(await settings.webhook());
    },
    clock: async () => checkClock(await configured(), Date.now),
    spool: checkSpool,
  };
  try {
    const checks = await Promise.all(Object.entries(probes).map(([name, probe]) => check(name, probe, secrets)));
    const healthy = checks.every(({ status }) => status === 'ok');
    context.result({ healthy, checks }, reportText(checks));
    return healthy ? ExitCode.done : ExitCode.unreachable;
  } finally {
    const closing = client.then(({ connection }) => connection.close());
    await closing.catch(() => undefined);
  }
}

import { Runtime } from '@temporalio/worker';
import type { Dispatcher } from 'undici';
import type { Config } from '../config/config.js';
import type { Oddity } from '../dashscope/answer-reader.js';
import type { DashScopeClientOptions } from '../dashscope/client.js';
import type { RequestTrace } from '../dashscope/request-trace.js';
import type { WorkerMetrics } from '../metrics/worker-metrics.js';
import { createAddressPolicy } from '../net/address-policy.js';
import { createDispatcher } from '../net/dispatcher.js';
import { guardedConnector } from '../net/guarded-connector.js';
import type { ClockWatch } from './clock-watch.js';

/** A worker's client of the provider: counted, and the dates of its answers compared with this machine's clock. */
export function providerClientOptions(
  {
    config,
    apiKey,
    onOddity,
    trace,
  }: {
    readonly config: Config;
    readonly apiKey: () => Promise<string> | string;
    readonly onOddity: (oddity: Oddity) => void;
    readonly trace: RequestTrace | undefined;
  },
  metrics: WorkerMetrics,
  clocks: ClockWatch,
): DashScopeClientOptions {
  const { times, provider } = config;
  return {
    baseUrl: provider.baseUrl,
    apiKey,
    workspace: provider.workspace,
    dispatcher: createDispatcher(config.proxies),
    resultDispatcher: resultDispatcher(config),
    onSubmit: (outcome) => metrics.submitted(outcome),
    onRequest: (operation, outcome) => metrics.requested(operation, outcome),
    onOddity,
    trace,
    onMoment: (moment) => clocks.observe('provider', moment),
    timeouts: {
      submitMs: times.submitHttpMs,
      readMs: times.readHttpMs,
      cancelMs: times.cancelHttpMs,
      uploadMs: times.uploadHttpMs,
      downloadIdleMs: times.downloadIdleMs,
    },
  };
}

/** Counts every oddity and logs each kind once per process; a kind has the value's type, never the value. */
export function oddityReport(metrics: WorkerMetrics, traceIds: () => object = () => ({})): (oddity: Oddity) => void {
  const logged = new Set<string>();
  return (oddity) => {
    metrics.oddity(oddity);
    const kind = JSON.stringify(oddity);
    // Fields and types are documented names, so the kinds are few.
    if (logged.has(kind)) return;
    logged.add(kind);
    const { operation, field, found } = oddity;
    Runtime.instance().logger.warn("the provider's answer is not as documented", {
      operation,
      field,
      found,
      ...traceIds(),
    });
  };
}

/** Result links of a real provider lead to public hosts; the connector checks every address that they resolve to. */
export function resultDispatcher({ provider, allowPrivateUrls, proxies }: Config): Dispatcher | undefined {
  if (provider.providerId === 'emulator') return undefined;
  return createDispatcher(proxies, { connect: guardedConnector(createAddressPolicy(allowPrivateUrls)) });
}

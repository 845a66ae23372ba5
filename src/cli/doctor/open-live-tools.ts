import { ArchiveAttempts } from '../../../activities/archive-attempts.js';
import { archiveFinished } from '../../../activities/archive-video.js';
import { finishedTask } from '../../../activities/finished-task.js';
import { taskFailed } from '../../../activities/poll-task.js';
import { candidateArchive } from '../../../activities/reconcile-submit.js';
import { uploadImage } from '../../../activities/upload-reference.js';
import { systemClock } from '../../async/clock.js';
import type { Config } from '../../config/config.js';
import { DashScopeClient } from '../../dashscope/client.js';
import type { Ledger } from '../../ledger/ledger.js';
import type { LiveTools } from '../../live-check/live-tools.js';
import { createDispatcher } from '../../net/dispatcher.js';
import { SPOOL_FOLDER } from '../../net/spool-folder.js';
import type { AssetStore } from '../../storage/asset-store.js';
import { resultDispatcher } from '../../worker/provider-client.js';

/** Builds what a live check works with; the caller closes it. */
export function openLiveTools(
  config: Config,
  { store, ledger, apiKey }: { readonly store: AssetStore; readonly ledger: Ledger; readonly apiKey: string },
): { readonly tools: LiveTools; readonly close: () => Promise<void> } {
  const { provider, times, allowPrivateUrls, publicBaseUrl } = config;
  const { baseUrl, workspace } = provider;
  const dispatcher = createDispatcher(config.proxies);
  const results = resultDispatcher(config);
  const dashscope = new DashScopeClient({
    baseUrl,
    workspace,
    apiKey: () => apiKey,
    dispatcher,
    resultDispatcher: results,
    timeouts: { submitMs: times.submitHttpMs, readMs: times.readHttpMs, uploadMs: times.uploadHttpMs },
  });
  const deps = {
    dashscope,
    providerBaseUrl: baseUrl,
    store,
    ledger,
    allowPrivateUrls,
    spoolDir: SPOOL_FOLDER,
    publicBaseUrl,
    times,
    clock: systemClock,
  };
  const claim = 'claimed' as const;
  return {
    tools: {
      provider,
      apiKey,
      dispatcher,
      resultDispatcher: results ?? dispatcher,
      dashscope,
      store,
      ledger,
      times,
      allowPrivateUrls,
      clock: systemClock,
      steps: {
        uploadImage: (image, signal) => uploadImage(image, deps, signal),
        archiveCandidate: candidateArchive(deps),
        taskFailed: (task, seen) => taskFailed({ ...task, claim }, seen),
        finishTask: (task, seen, nowMs) => {
          const finished = finishedTask({ ...task, claim }, seen, nowMs);
          const attempts = new ArchiveAttempts();
          return { ...finished, archive: (signal) => archiveFinished(deps, finished, attempts, signal) };
        },
      },
    },
    close: async () => {
      await Promise.all([dispatcher.close(), results?.close()]);
    },
  };
}

import { randomUUID } from 'node:crypto';
import { MODEL } from '../src/contract/model.js';
import type { ActivityDeps } from './deps.js';
import { requireSameStore } from './same-store.js';
import type { VideoActivities } from './types.js';
import { withSignal } from './with-signal.js';

/** Puts the image into the provider's temporary store (kept there 48 h); a fresh name and policy for each attempt. */
export function createUploadReference(deps: ActivityDeps): VideoActivities['uploadReference'] {
  const { dashscope, store } = deps;
  return ({ reference, storeId }) =>
    withSignal(async (signal) => {
      requireSameStore(deps, storeId);
      if (reference.kind === 'oss') return { imgUrl: reference.url };
      const policy = await dashscope.getUploadPolicy(MODEL, { signal });
      const name = `${randomUUID()}.${reference.key.split('.').at(-1)}`;
      const body = await store.get(reference.key, { signal });
      return { imgUrl: await dashscope.uploadFile(policy, name, reference.mime, reference.bytes, body, { signal }) };
    });
}

import type { ActivityDeps } from './deps.js';
import type { Tells } from './types.js';

/** What a step hands to its run, so that without a webhook a run does nothing for one. */
export const tellsOf = ({ webhook }: Pick<ActivityDeps, 'webhook'>): { tells?: Tells } =>
  webhook === undefined ? {} : { tells: webhook.events };

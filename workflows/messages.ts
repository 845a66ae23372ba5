import { defineQuery, defineSignal } from '@temporalio/workflow';
import { CANCEL_SIGNAL, PROGRESS_QUERY } from '../src/contract/names.js';
import type { VideoProgress } from '../src/contract/result.js';

/** Ends the run as Cancelled; the reason is shown in its details. */
export const cancelSignal = defineSignal<[{ reason?: string }?]>(CANCEL_SIGNAL);
/** Stage, task and what is waited for. */
export const progressQuery = defineQuery<VideoProgress>(PROGRESS_QUERY);

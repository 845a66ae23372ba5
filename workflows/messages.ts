import { defineQuery, defineSignal } from '@temporalio/workflow';
import { CANCEL_SIGNAL, PROGRESS_QUERY, RESOLVE_SIGNAL } from '../src/contract/names.js';
import type { SubmitDecision, VideoProgress } from '../src/contract/result.js';

/** Ends the run as Cancelled; the reason is shown in its details. */
export const cancelSignal = defineSignal<[{ reason?: string }?]>(CANCEL_SIGNAL);
/** A person's decision on a purchase that waits for one. */
export const resolveSignal = defineSignal<[SubmitDecision]>(RESOLVE_SIGNAL);
/** Stage, task and what is waited for. */
export const progressQuery = defineQuery<VideoProgress>(PROGRESS_QUERY);

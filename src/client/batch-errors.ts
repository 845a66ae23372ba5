import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { VideoRunError } from './run-error.js';

/** The error for a start with an id under which another manifest is stored. */
export const batchIdTaken = (batchId: string): VideoError =>
  new VideoError(FailureType.InvalidRequest, `The batch id ${batchId} belongs to another manifest`, {
    issues: [{ path: 'id', message: `belongs to another manifest: ${batchId}; choose another one` }],
    billed: false,
  });

/** The error for a batch that neither Temporal nor the store knows. */
export const batchNotFound = (batchId: string): VideoRunError =>
  new VideoRunError(batchId, { type: FailureType.RunNotFound, message: `There is no batch ${batchId}` });

import { type FitJob, fitImage, ImageFaults } from './fit-image.js';
import type { ImageAnswer } from './image-fitter.js';
import { serveJobs } from './serve-jobs.js';

// The process that decodes images for a worker or a command.
serveJobs((job: FitJob) => fitImage(job).then((image): ImageAnswer => ({ kind: 'examined', image }), describeError));

function describeError(error: Error & { readonly code?: string; readonly syscall?: string }): ImageAnswer {
  if (error instanceof ImageFaults) return { kind: 'faults', faults: error.faults };
  if (error.syscall !== undefined) return { kind: 'unreadable', reason: error.code ?? error.message };
  return { kind: 'unfinished', reason: `cannot be decoded (${error.name})` };
}

import { Mp4Fault, Mp4Limit } from './mp4-boxes.js';
import type { Inspection } from './mp4-inspector.js';
import { measureMp4File } from './mp4-measure.js';
import { serveJobs } from './serve-jobs.js';

// The process that measures MP4 files for a worker.
serveJobs((file: string) =>
  measureMp4File(file).then((inspected): Inspection => ({ kind: 'inspected', inspected }), describeError),
);

function describeError(error: Error & { readonly code?: string; readonly syscall?: string }): Inspection {
  if (error instanceof Mp4Limit) return { kind: 'unfinished', reason: error.message };
  if (error instanceof Mp4Fault) return { kind: 'fault', fault: error.message };
  if (error.syscall !== undefined) return { kind: 'unreadable', reason: error.code ?? error.message };
  // Memory that this process did not get, or a fault of this reader: neither says that the file is no video.
  return { kind: 'unfinished', reason: `cannot be measured (${error.name})` };
}

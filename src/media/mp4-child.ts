import { Mp4Fault, Mp4Limit } from './mp4-boxes.js';
import type { ChildMessage } from './mp4-inspector.js';
import { measureMp4File } from './mp4-measure.js';

// The process that measures MP4 files for a worker, one at a time; see mp4-inspector.ts. A terminal's signals go to all
// of its processes: the worker decides when this one ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => process.exit(0));
process.on('message', (file: string) => {
  void measureMp4File(file)
    .then((inspected): ChildMessage => ({ kind: 'inspected', inspected }), describeError)
    .then(send);
});
send({ kind: 'ready' });

function send(message: ChildMessage): void {
  process.send?.(message);
}

function describeError(error: Error & { readonly code?: string; readonly syscall?: string }): ChildMessage {
  if (error instanceof Mp4Limit) return { kind: 'unmeasurable', reason: error.message };
  if (error instanceof Mp4Fault) return { kind: 'fault', fault: error.message };
  if (error.syscall !== undefined) return { kind: 'unreadable', reason: error.code ?? error.message };
  // Memory that this process did not get, or a fault of this reader: neither says that the file is no video.
  return { kind: 'unmeasurable', reason: `cannot be measured (${error.name})` };
}

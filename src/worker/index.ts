export type { TemporalTarget } from '../client/connect.js';
export { runWorker, type WorkerOptions } from './run-worker.js';

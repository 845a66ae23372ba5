export type { TemporalTarget } from '../client/connect.js';
export { installLogger } from './logger.js';
export { runWorker, type WorkerOptions } from './run-worker.js';

export type { TemporalTarget } from '../client/temporal-target.js';
export { installLogger } from './logger.js';
export { runWorker, type WorkerOptions } from './run-worker.js';

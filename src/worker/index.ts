export { runWorker, type TemporalTarget, type WorkerOptions } from './run-worker.js';

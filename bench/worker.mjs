// The product's worker as a process of its own, which reports how many heartbeats it has sent to the server:
// `node worker.mjs METRICS_PORT`. Configuration: environment.
import { homedir } from 'node:os';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { temporalFromEnv } from '../dist/src/client/temporal-target.js';
import { loadConfig } from '../dist/src/config/config.js';
import { runWorker } from '../dist/src/worker/index.js';

Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { metrics: { prometheus: { bindAddress: `127.0.0.1:${process.argv[2]}` } } },
});
await runWorker({
  config: loadConfig(process.env, { cwd: process.cwd(), homeDir: homedir() }),
  temporal: temporalFromEnv(),
  apiKey: () => process.env.DASHSCOPE_API_KEY,
  onReady: () => process.send('ready'),
});
process.exit(0);

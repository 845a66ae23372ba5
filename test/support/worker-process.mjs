// A worker as a process of its own, with shortened times: node worker-process.mjs '{"times":{…}}'. Configuration:
// environment.
import { homedir } from 'node:os';
import { temporalFromEnv } from '../../dist/src/client/temporal-target.js';
import { loadConfig } from '../../dist/src/config/config.js';
import { installLogger, runWorker } from '../../dist/src/worker/index.js';

const { times } = JSON.parse(process.argv[2] ?? '{}');
const config = loadConfig(process.env, { cwd: process.cwd(), homeDir: homedir() });
const log = process.env.LOG_LEVEL ? config.log : { level: 'fatal', format: 'json' };
installLogger(log, { metrics: config.metrics !== undefined });
await runWorker({
  config: { ...config, times: { ...config.times, ...times } },
  temporal: temporalFromEnv(),
  readTemporal: async () => temporalFromEnv(),
  apiKey: () => process.env.DASHSCOPE_API_KEY,
  ownsProcess: true,
  onReady: () => process.stdout.write('ready\n'),
});
process.exit(0);

// A worker of a given build: node worker.mjs DIST '{"times":{…}}'. Configuration: environment.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, options] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(join(dist, file)).href);
const [{ temporalFromEnv }, { loadConfig }, { installLogger, runWorker }] = await Promise.all([
  load('src/client/temporal-target.js'),
  load('src/config/config.js'),
  load('src/worker/index.js'),
]);
const config = loadConfig(process.env, { cwd: process.cwd(), homeDir: homedir() });
installLogger({ level: 'fatal', format: 'json' });
await runWorker({
  config: { ...config, times: { ...config.times, ...JSON.parse(options).times } },
  temporal: temporalFromEnv(),
  apiKey: () => process.env.DASHSCOPE_API_KEY,
  onReady: () => process.stdout.write('ready\n'),
});
process.exit(0);

// A worker whose one workflow runs one activity that does nothing: what Temporal itself costs.

import { fileURLToPath } from 'node:url';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

Runtime.install({ logger: new DefaultLogger('ERROR') });
const connection = await NativeConnection.connect({ address: process.argv[2] });
const worker = await Worker.create({
  ...{ connection, taskQueue: 'bench-noop', activities: { nothing: async () => undefined } },
  workflowsPath: fileURLToPath(new URL('./noop-workflow.mjs', import.meta.url)),
});
const running = worker.run();
process.send('ready');
await running;
process.exit(0);

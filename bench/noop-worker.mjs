// A worker whose only step does nothing: what Temporal itself costs.
import { fileURLToPath } from 'node:url';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

Runtime.install({ logger: new DefaultLogger('ERROR') });
const [address] = process.argv.slice(2);
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue: 'bench-noop',
  activities: { nothing: async () => undefined },
  workflowsPath: fileURLToPath(new URL('./noop-workflow.mjs', import.meta.url)),
});
const running = worker.run();
process.send('ready');
await running;
process.exit(0);

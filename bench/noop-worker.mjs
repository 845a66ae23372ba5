// A worker whose steps do nothing: what Temporal itself costs. Its queues are as the product's: a second one for
// submits, with a rate.

import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

Runtime.install({ logger: new DefaultLogger('ERROR') });
const [address, submitRate = '4'] = process.argv.slice(2);
const connection = await NativeConnection.connect({ address });
const client = new Client({ connection: await Connection.connect({ address }) });
const slots = { workflowId: 'bench-noop-slots', taskQueue: 'bench-noop' };
const nothing = async () => undefined;
const ask = (given) =>
  client.workflow
    .signalWithStart('noopSlots', { ...slots, args: [], signal: 'ask', signalArgs: [given] })
    .then(nothing);
const giveBack = () => client.workflow.getHandle(slots.workflowId).signal('giveBack');
const workers = [
  await Worker.create({
    connection,
    taskQueue: 'bench-noop',
    activities: { nothing, ask, giveBack },
    workflowsPath: fileURLToPath(new URL('./noop-workflow.mjs', import.meta.url)),
  }),
  await Worker.create({
    connection,
    taskQueue: 'bench-noop-submit',
    activities: { nothing },
    maxTaskQueueActivitiesPerSecond: Number(submitRate),
  }),
];
const running = Promise.all(workers.map((worker) => worker.run()));
process.send('ready');
await running;
process.exit(0);

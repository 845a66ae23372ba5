import {
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  proxyActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';

const { nothing, ask, giveBack } = proxyActivities({ startToCloseTimeout: '10s' });
const submitting = proxyActivities({
  startToCloseTimeout: '10s',
  taskQueue: 'bench-noop-submit',
  allowEagerDispatch: false,
});

/** One activity: what a cache hit is compared with. */
export async function noop() {
  await nothing();
}

/** As many activities and signals as a generation has, in the same order, and none of them does anything. */
export async function noopGenerate() {
  let granted = false;
  setHandler(defineSignal('slot'), () => {
    granted = true;
  });
  await nothing(); // prepareRequest
  await ask({ requesterId: workflowInfo().workflowId }); // uploadReference
  await condition(() => granted, '60s');
  await submitting.nothing(); // submitTask
  await nothing(); // pollTask, until it starts
  await giveBack(); // pollTask, to the end
  await nothing(); // archiveVideo
}

/** Grants every request at once. */
export async function noopSlots() {
  const asked = [];
  setHandler(defineSignal('ask'), ({ requesterId }) => void asked.push(requesterId));
  setHandler(defineSignal('giveBack'), () => undefined);
  for (;;) {
    await condition(() => asked.length > 0);
    await getExternalWorkflowHandle(asked.shift()).signal('slot');
  }
}

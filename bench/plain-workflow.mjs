// The workflow that a user would write by hand, in the style of Temporal's samples: four activities that do the same
// real work as a generation, without ledger, slots, checks or measuring.
import { proxyActivities } from '@temporalio/workflow';

const { upload, submit, archive } = proxyActivities({ startToCloseTimeout: '2m' });
const { poll } = proxyActivities({ startToCloseTimeout: '3h', heartbeatTimeout: '30s' });

export async function plainGenerate({ prompt, image }) {
  const imgUrl = await upload(image);
  const taskId = await submit({ prompt, imgUrl });
  const videoUrl = await poll(taskId);
  return archive({ taskId, videoUrl });
}

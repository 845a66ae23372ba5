// The worker of plain-workflow.mjs: node plain-worker.mjs ADDRESS BASE_URL KEY POLL_MS STORE QUEUE, where STORE is
// the JSON of a folder's path, or of a bucket and the options of an S3 client.
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Context } from '@temporalio/activity';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';

const [address, baseUrl, key, pollMs, store, taskQueue] = process.argv.slice(2);
const { path, bucket, ...s3 } = JSON.parse(store);
Runtime.install({ logger: new DefaultLogger('ERROR') });

async function ask(path, init = {}) {
  const headers = { authorization: `Bearer ${key}`, ...init.headers };
  const answer = await fetch(`${baseUrl}${path}`, { ...init, headers });
  if (!answer.ok) throw new Error(`${path} was answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

const s3Client = bucket === undefined ? undefined : new S3Client({ ...s3, forcePathStyle: true });

const activities = {
  async upload(image) {
    const { data } = await ask('/uploads?action=getPolicy&model=wan2.6-i2v-flash');
    const form = new FormData();
    const objectKey = `${data.upload_dir}/${randomUUID()}.jpg`;
    const fields = {
      OSSAccessKeyId: data.oss_access_key_id,
      Signature: data.signature,
      policy: data.policy,
      'x-oss-object-acl': data.x_oss_object_acl,
      'x-oss-forbid-overwrite': data.x_oss_forbid_overwrite,
      key: objectKey,
      success_action_status: '200',
    };
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append('file', new Blob([await readFile(image)]), 'image.jpg');
    const answer = await fetch(data.upload_host, { method: 'POST', body: form });
    if (!answer.ok) throw new Error(`the upload was answered ${answer.status}`);
    return `oss://${objectKey}`;
  },
  async submit({ prompt, imgUrl }) {
    const { output } = await ask('/services/aigc/video-generation/video-synthesis', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-dashscope-async': 'enable',
        'x-dashscope-ossresourceresolve': 'enable',
      },
      body: JSON.stringify({
        model: 'wan2.6-i2v-flash',
        input: { prompt, img_url: imgUrl },
        parameters: { resolution: '720P', duration: 5, audio: false },
      }),
    });
    return output.task_id;
  },
  async poll(taskId) {
    for (;;) {
      const { output } = await ask(`/tasks/${taskId}`);
      if (output.task_status === 'SUCCEEDED') return output.video_url;
      if (output.task_status === 'FAILED') throw new Error(output.message);
      Context.current().heartbeat();
      await sleep(Number(pollMs));
    }
  },
  async archive({ taskId, videoUrl }) {
    const bytes = Buffer.from(await (await fetch(videoUrl)).arrayBuffer());
    const name = `${taskId}.mp4`;
    if (s3Client === undefined) await writeFile(join(path, name), bytes);
    else await s3Client.send(new PutObjectCommand({ Bucket: bucket, Key: name, Body: bytes }));
    return name;
  },
};

const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue,
  workflowsPath: fileURLToPath(new URL('./plain-workflow.mjs', import.meta.url)),
  activities,
  maxConcurrentActivityTaskExecutions: 500,
});
const running = worker.run();
process.on('disconnect', () => process.exit(0));
process.send('ready');
await running;
process.exit(0);

import { copyFile, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connectClient, temporalFromEnv } from '../client/connect.js';
import { followVideo } from '../client/follow.js';
import { WanVideoClient } from '../client/video-client.js';
import { loadConfig } from '../config/config.js';
import { resolveApiKey } from '../config/credentials.js';
import { FailureType } from '../contract/failure-type.js';
import { QUICK_START } from '../contract/model.js';
import type { VideoRequest } from '../contract/request.js';
import { invalidRequest, requestIssues } from '../contract/validate.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { stageImageFile } from '../media/stage-image.js';
import { openStore } from '../storage/open-store.js';
import { ExitCode } from './exit-code.js';
import { resultText } from './output.js';
import { progressLine } from './progress-line.js';

const options = {
  prompt: { type: 'string' },
  image: { type: 'string' },
  duration: { type: 'string' },
  fps: { type: 'string' },
  size: { type: 'string' },
  seed: { type: 'string' },
  'negative-prompt': { type: 'string' },
  'motion-strength': { type: 'string' },
  audio: { type: 'boolean' },
  cache: { type: 'string' },
  tenant: { type: 'string' },
  label: { type: 'string', multiple: true },
  id: { type: 'string' },
  request: { type: 'string' },
  output: { type: 'string' },
  detach: { type: 'boolean' },
  json: { type: 'boolean' },
  quiet: { type: 'boolean' },
} as const;

/** `wan-video generate`: one generation, with progress on stderr and the result on stdout. */
export async function generate(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options });
  const config = loadConfig(process.env, { cwd: process.cwd(), homeDir: homedir() });
  const draft: Record<string, unknown> = {
    ...QUICK_START,
    ...(values.request !== undefined && (JSON.parse(await readFile(values.request, 'utf8')) as object)),
    ...(values.prompt !== undefined && { prompt: values.prompt }),
    ...(values.duration !== undefined && { duration: numeric(values.duration) }),
    ...(values.fps !== undefined && { fps: numeric(values.fps) }),
    ...(values.size !== undefined && { size: values.size }),
    ...(values.seed !== undefined && { seed: numeric(values.seed) }),
    ...(values['negative-prompt'] !== undefined && { negative_prompt: values['negative-prompt'] }),
    ...(values['motion-strength'] !== undefined && { motion_strength: numeric(values['motion-strength']) }),
    ...(values.audio !== undefined && { audio: values.audio }),
    ...(values.cache !== undefined && { cache: values.cache }),
    ...(values.tenant !== undefined && { tenant: values.tenant }),
    ...(values.label !== undefined && {
      labels: Object.fromEntries(values.label.map((label) => label.split(/=(.*)/s).slice(0, 2))),
    }),
  };
  const image = values.image ?? draft['reference_image'];
  const isLocal = typeof image === 'string' && !/^(https?:|asset:|oss:|data:)/.test(image);
  const imageIssues = isLocal ? await localImageIssues(image) : [];
  // A placeholder stands in while the other fields are checked, so that all faults come at once.
  if (image !== undefined) draft['reference_image'] = isLocal ? 'asset:pending' : image;
  const issues = [...requestIssues(draft), ...imageIssues];
  if (issues.length > 0) throw invalidRequest(issues);
  // The worker may have a key of its own; without one here and without a worker nothing could ever be bought.
  const target = temporalFromEnv();
  const keyError = await resolveApiKey(process.env, { homeDir: homedir() }).then(
    () => undefined,
    (error: unknown) => error,
  );
  const client = await connectClient(target);
  try {
    const workers = await client.workflowService.describeTaskQueue({
      namespace: target.namespace,
      taskQueue: { name: config.taskQueues.generate },
      taskQueueType: 1,
    });
    if ((workers.pollers ?? []).length === 0) {
      if (keyError !== undefined) throw keyError;
      process.stderr.write(
        `No worker polls the queue ${config.taskQueues.generate}: start one with "wan-video worker". The run waits for it.\n`,
      );
    }
    if (isLocal) draft['reference_image'] = `asset:${(await stageImageFile(image, openStore(config.store))).asset.key}`;
    const videos = new WanVideoClient({ client, taskQueue: config.taskQueues.generate });
    const started = await videos.start(
      draft as unknown as VideoRequest,
      values.id === undefined ? {} : { id: values.id },
    );
    if (values.detach) {
      process.stdout.write(values.json ? `${JSON.stringify(started)}\n` : `${started.id}\n`);
      return ExitCode.done;
    }
    const onInterrupt = () => {
      if (started.joined) process.exit(ExitCode.cancelled);
      process.stderr.write('\nCancelling; Ctrl-C again leaves the run alone.\n');
      void videos.cancel(started.id, 'Ctrl-C');
      process.once('SIGINT', () => process.exit(ExitCode.cancelled));
    };
    process.once('SIGINT', onInterrupt);
    const line = progressLine(process.stderr, process.env);
    const result = await followVideo(videos, started.id, (progress) => {
      if (!values.quiet) line.show(progress, Date.now());
    });
    line.end();
    if (values.output !== undefined && result.video_url.startsWith('file:'))
      await copyFile(fileURLToPath(result.video_url), values.output);
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : `${resultText(result)}\n`);
    return ExitCode.done;
  } finally {
    await client.connection.close();
  }
}

/** Text that is no number stays text, so that the schema names the fault. */
const numeric = (text: string): number | string =>
  text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);

async function localImageIssues(path: string): Promise<Issue[]> {
  const at = (message: string): Issue[] => [{ path: 'reference_image', message }];
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) return at(`${path} does not exist; give the path of an image or an http(s) URL`);
  if (!info.isFile()) return at(`${path} is not a file`);
  if (info.size === 0) return at(`${path} is empty`);
  try {
    // Checked here by its header; the store is touched only when the whole request is right.
    await stageImageFile(path, { put: async () => ({ stored: true }) } as never);
    return [];
  } catch (error) {
    if (error instanceof VideoError && error.type === FailureType.ReferenceRejected)
      return [...(error.issues ?? at(error.message))];
    throw error;
  }
}

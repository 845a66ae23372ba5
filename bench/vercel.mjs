// The video model of @ai-sdk/alibaba as it is: its own submit, its own wait.
import { setTimeout as sleep } from 'node:timers/promises';
import { createAlibaba } from '@ai-sdk/alibaba';
import { IMAGE, onPlan, PROMPT } from './plan.mjs';

onPlan(async ({ origin, key, delayMs }) => {
  await sleep(delayMs);
  await createAlibaba({ apiKey: key, videoBaseURL: origin })
    .video('wan2.6-i2v-flash')
    .doGenerate({
      prompt: PROMPT,
      image: { type: 'url', url: IMAGE },
      n: 1,
      duration: 5,
      resolution: '1280x720',
      providerOptions: { alibaba: { audio: false } },
    });
});

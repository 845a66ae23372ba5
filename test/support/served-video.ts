import { createHash } from 'node:crypto';
import { vi } from 'vitest';
import { TEST_KEY } from './stack.js';

/** SHA-256 of a stream of bytes. */
export async function sha256Of(bytes: AsyncIterable<Uint8Array | Buffer | string>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of bytes) hash.update(chunk);
  return hash.digest('hex');
}

/** SHA-256 of what the emulator itself serves for a task, also when that is no video. */
export async function servedSha256({ baseUrl }: { readonly baseUrl: string }, taskId: string): Promise<string> {
  const headers = { authorization: `Bearer ${TEST_KEY}` };
  // The workers use the same account, which refuses what is above its rate.
  const output = await vi.waitFor(
    async () => {
      const answer = await fetch(`${baseUrl}/tasks/${taskId}`, { headers });
      if (answer.status === 429) throw new Error(`the queries of ${taskId} are above the account's rate`);
      return ((await answer.json()) as { output: { video_url: string } }).output;
    },
    { timeout: 30_000, interval: 100 },
  );
  const { body } = await fetch(output.video_url);
  if (body === null) throw new Error(`the link of ${taskId} leads to an answer without a body`);
  return sha256Of(body);
}

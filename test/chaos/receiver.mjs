import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

/** What the receiver is to hear of: how everything ended. */
const EVENTS = ['batch.ended', 'run.ended'];
/** Share of the messages that it does not take, while it may misbehave. */
const REFUSED_SHARE = 0.25;

/**
 * Starts a receiver of webhooks that keeps what it took, and at times takes nothing.
 * @param mayRefuse - Whether it still may; what it refuses in the end is never delivered.
 * @returns `file`: what `WAN_VIDEO_WEBHOOK` names; `taken`: the messages, each with its id and its text.
 */
export async function startReceiver(home, random, mayRefuse) {
  const taken = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    const refuses = mayRefuse() && random.chance(REFUSED_SHARE);
    if (refuses && random.chance(0.5)) return void request.socket.destroy();
    if (!refuses) taken.push({ id: request.headers['webhook-id'], body });
    // An answer that is lost is no answer: the same message comes again.
    if (mayRefuse() && random.chance(0.1)) return void request.socket.destroy();
    response.writeHead(refuses ? 503 : 204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const file = join(home, 'webhook.json');
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const url = `http://127.0.0.1:${server.address().port}/hook`;
  await writeFile(file, JSON.stringify({ url, secret, events: EVENTS }));
  return { file, taken };
}

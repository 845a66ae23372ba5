// The emulators of one bench run, each behind a recorder: who asked what and when, and when an answer first showed
// that a task had ended. Every client is measured there, in the same way and without its help.
import { Agent, createServer, request } from 'node:http';
import { startEmulator } from '../dist/src/emulator/index.js';

process.once('message', async ({ cells, accounts }) => {
  // A connection that is kept for the next request may be closed just then; the client would see a lost reply.
  const agent = new Agent({ keepAlive: false });
  const log = [];
  const servers = [];
  for (const { name, seconds, jitter, settings } of cells) {
    const emulator = await startEmulator({
      accounts,
      // Slots raised unless a cell says otherwise: what is measured is asking, not waiting.
      settings: { render_seconds: seconds, jitter, slots: 10_000, submit_rate: 0, ...settings },
    });
    servers.push({ name, server: await record(emulator, agent, (entry) => log.push({ cell: name, ...entry })) });
  }
  process.send({
    origins: servers.map(({ name, server }) => ({ name, origin: `http://127.0.0.1:${server.address().port}` })),
  });
  process.on('message', () => process.send({ log: log.splice(0) }));
});
process.on('disconnect', () => process.exit(0));

async function record({ origin }, agent, write) {
  const server = createServer((incoming, outgoing) => {
    const atMs = Date.now();
    const { method, url, headers } = incoming;
    const onward = request(new URL(url, origin), { method, headers, agent }, async (answer) => {
      const chunks = [];
      for await (const chunk of answer) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      const endMs = Date.now();
      const kind = kindOf(method, url);
      const task = kind === 'submit' || kind === 'query' ? taskOf(body, endMs) : {};
      const entry = { atMs, endMs, kind, key: headers.authorization?.slice(7), status: answer.statusCode, ...task };
      // A transfer is over when its bytes have left; an answer is known before it can be read.
      if (kind === 'transfer') outgoing.once('finish', () => write({ ...entry, endMs: Date.now() }));
      else if (kind !== 'control') write(entry);
      outgoing.writeHead(answer.statusCode, answer.headers).end(body);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.keepAliveTimeout = 600_000;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** What a request is about; `transfer` is the image on its way to the provider and the video on its way back. */
function kindOf(method, url) {
  const path = new URL(url, 'http://localhost').pathname;
  if (path.startsWith('/_emulator/')) return 'control';
  if (/^\/(oss-upload|results\/|api\/v1\/uploads)/.test(path)) return 'transfer';
  if (method === 'POST') return path.endsWith('/cancel') ? 'cancel' : 'submit';
  return /^\/api\/v1\/tasks\/?$/.test(path) ? 'list' : 'query';
}

function taskOf(body, shownAtMs) {
  let output;
  try {
    output = JSON.parse(body.toString()).output;
  } catch {
    // Not an answer about a task.
  }
  const time = (text) => (text === undefined ? undefined : Date.parse(`${text.replace(' ', 'T')}+08:00`));
  return {
    taskId: output?.task_id,
    state: output?.task_status,
    startedAtMs: time(output?.scheduled_time),
    endedAtMs: time(output?.end_time),
    shownAtMs,
  };
}

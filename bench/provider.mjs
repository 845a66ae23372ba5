// The emulators of one bench run, each behind a recorder: who asked what and when, and when it was told that a task ended.
// Every client is measured there, in the same way and without its help.
import { Agent, createServer, request } from 'node:http';
import { startEmulator } from '../dist/src/emulator/index.js';

process.once('message', async ({ cells, accounts }) => {
  const agent = new Agent({ keepAlive: true });
  const log = [];
  const servers = [];
  for (const { name, seconds, jitter } of cells) {
    const emulator = await startEmulator({
      accounts,
      // Slots raised: what is measured is asking, not waiting.
      settings: { render_seconds: seconds, jitter, slots: 10_000, submit_rate: 0 },
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
      write({ atMs, key: headers.authorization?.slice(7), status: answer.statusCode, ...said(method, url, body) });
      outgoing.writeHead(answer.statusCode, answer.headers).end(body);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

function said(method, url, body) {
  const path = new URL(url, 'http://localhost').pathname;
  const kind = method === 'POST' ? 'submit' : /^\/api\/v1\/tasks\/?$/.test(path) ? 'list' : 'query';
  if (kind === 'list') return { kind };
  let output;
  try {
    output = JSON.parse(body.toString()).output;
  } catch {
    // Not an answer about a task.
  }
  const time = (text) => (text === undefined ? undefined : Date.parse(`${text.replace(' ', 'T')}+08:00`));
  return {
    kind,
    taskId: output?.task_id,
    state: output?.task_status,
    startedAtMs: time(output?.scheduled_time),
    endedAtMs: time(output?.end_time),
    toldAtMs: Date.now(),
  };
}

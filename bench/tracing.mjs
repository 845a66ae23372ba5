// What tracing costs a worker: the same generations on one that traces and on one that does not, alternating.
//   node bench/tracing.mjs [--runs 30] [--json FILE]
// Needs the build (dist/). The receiver only counts, so that its own work is not measured.
import '../scripts/require-node.mjs';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { cpuMsOf, median } from './figures.mjs';
import { generate, measureOwnTime, WARM_UP } from './own-time.mjs';
import { startStack } from './stack.mjs';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '30' }, json: { type: 'string' } } });
const runs = Number(values.runs);
/** How often spans are sent, in milliseconds: what the last runs have made is sent before the end. */
const SENT_EVERY_MS = 500;

const received = { requests: 0, bytes: 0 };
const receiver = createServer((request, response) => {
  received.requests += 1;
  request.on('data', ({ length }) => {
    received.bytes += length;
  });
  request.on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
});
receiver.listen(0, '127.0.0.1');
await once(receiver, 'listening');

/** The variables of each worker. */
const variables = {
  off: {},
  on: {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${receiver.address().port}`,
    OTEL_BSP_SCHEDULE_DELAY: String(SENT_EVERY_MS),
  },
};
const cells = Object.keys(variables).map((name) => ({
  name,
  seconds: 25,
  jitter: 0.05,
  settings: { speed: 100 },
  accounts: { [`sk-${name}`]: name },
}));
const stack = await startStack(cells);
try {
  const sides = [];
  for (const [name, env] of Object.entries(variables)) {
    const product = await stack.product(name, env);
    sides.push({ name, product, worker: await product.startWorker(`sk-${name}`), ownMs: [], cpuMs: 0, events: [] });
  }
  const round = async (side) => {
    const before = cpuMsOf(side.worker);
    const measured = await measureOwnTime(stack, side.name, () => generate(side.product));
    return { ...measured, cpuMs: cpuMsOf(side.worker) - before };
  };
  for (let i = 0; i < WARM_UP; i += 1) for (const side of sides) await round(side);
  const bytesBefore = received.bytes;
  for (let i = 0; i < runs; i += 1) {
    for (const side of sides) {
      const { id, ownMs, cpuMs } = await round(side);
      side.ownMs.push(ownMs);
      side.cpuMs += cpuMs;
      side.events.push((await stack.events(id)).length);
    }
  }
  const figures = sides.map(({ name, ownMs, cpuMs, events }) => ({
    tracing: name,
    own_ms: Math.round(median(ownMs)),
    cpu_ms: Math.round(cpuMs / runs),
    events: median(events),
  }));
  const sent = Math.round((received.bytes - bytesBefore) / runs);
  for (const { tracing, own_ms, cpu_ms, events } of figures) {
    process.stdout.write(`tracing ${tracing.padEnd(3)}  own time ${own_ms} ms, CPU ${cpu_ms} ms, ${events} events\n`);
  }
  process.stdout.write(`a generation's spans: ${sent} bytes\n`);
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ figures, sent }));
} finally {
  await stack.close();
  receiver.closeAllConnections();
  receiver.close();
}
process.exit(0);

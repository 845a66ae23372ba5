// The way not taken: a whole result in one buffer.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';

process.send('ready');
process.once('message', async (url) => {
  const body = Buffer.from(await (await fetch(url)).arrayBuffer());
  createHash('sha256').update(body).digest('hex');
  writeFileSync(process.argv[2], body);
  process.send('done');
});

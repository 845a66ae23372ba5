import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectClient, type TemporalTarget } from '../client/connect.js';
import { registerSearchAttributes } from '../client/setup.js';
import { SEARCH_ATTRIBUTES } from '../contract/names.js';
import { findTemporalCli } from './temporal-cli.js';
import { freePort, startDevServer } from './temporal-server.js';

/** An embedded Temporal with its Web UI; `pid` of the detached process. */
export interface EmbeddedTemporal {
  readonly target: TemporalTarget;
  readonly address: string;
  readonly uiUrl: string;
  readonly pid: number;
}

/**
 * Finds the embedded Temporal of `directory` by its state file, or starts it there: free ports on loopback,
 * persistent, a process of its own that outlives the caller.
 */
export async function embeddedTemporal(directory: string, say: (line: string) => void): Promise<EmbeddedTemporal> {
  await mkdir(directory, { recursive: true });
  const stateFile = join(directory, 'temporal.json');
  const known = await readFile(stateFile, 'utf8').then(
    (text) => JSON.parse(text) as { address: string; uiUrl: string; pid: number },
    () => undefined,
  );
  if (known !== undefined && isAlive(known.pid)) {
    const target = targetOf(known.address);
    const client = await connectClient(target).catch(() => undefined);
    if (client !== undefined) {
      await client.connection.close();
      return { ...known, target };
    }
  }
  say('Starting an embedded Temporal server …');
  const cliPath = await findTemporalCli(process.env);
  const [port, uiPort] = [await freePort(), await freePort()];
  const server = await startDevServer({
    cliPath,
    dbFilename: join(directory, 'temporal.db'),
    port,
    uiPort,
    searchAttributes: SEARCH_ATTRIBUTES,
    detached: true,
    logFile: join(directory, 'temporal.log'),
  });
  const state = { address: server.address, uiUrl: server.uiUrl ?? `http://127.0.0.1:${uiPort}`, pid: server.pid };
  await writeFile(stateFile, `${JSON.stringify(state)}\n`);
  const target = targetOf(state.address);
  const client = await connectClient(target);
  await registerSearchAttributes(client).finally(() => client.connection.close());
  return { ...state, target };
}

const targetOf = (address: string): TemporalTarget => ({ namespace: 'default', connection: { address } });

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

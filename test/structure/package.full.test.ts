import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test, vi } from 'vitest';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';

vi.setConfig({ testTimeout: COMPILE_TIMEOUT_MS });

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

test('the packed tarball installs into an empty project, where its exports, its command and its types work', async () => {
  const home = await mkdtemp(join(tmpdir(), 'wan-video-pack-'));
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', home], {
    cwd: ROOT,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  await writeFile(join(home, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  const install = ['install', '--no-audit', '--no-fund', '--prefer-offline', join(home, filename)];
  const { stderr } = await run('npm', install, { cwd: home });
  // Our overrides are none of a user's: what npm finds there must run on the oldest Node.js that we name.
  expect(stderr).not.toContain('EBADENGINE');

  const program = `import { WanVideoClient } from 'wan-video-temporal/client';
    import { parseRequest, type VideoRequest } from 'wan-video-temporal/contract';
    import { runWorker } from 'wan-video-temporal/worker';
    import { startEmulator } from 'wan-video-temporal/emulator';
    import manifest from 'wan-video-temporal/package.json' with { type: 'json' };
    export const parse: (input: unknown) => VideoRequest = parseRequest;
    console.log(typeof WanVideoClient, typeof parse, typeof runWorker, typeof startEmulator, manifest.name);`;
  await writeFile(join(home, 'user.ts'), program);
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const options = ['--strict', '--module', 'NodeNext', '--target', 'ES2022', '--resolveJsonModule', '--skipLibCheck'];
  await run(process.execPath, [compiler, ...options, 'user.ts'], { cwd: home });
  const used = await run(process.execPath, ['user.js'], { cwd: home });
  expect(used.stdout.trim()).toBe('function function function function wan-video-temporal');

  const deep = run(
    process.execPath,
    ['--input-type=module', '-e', "import 'wan-video-temporal/dist/src/net/spool.js'"],
    { cwd: home },
  );
  await expect(deep).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
  const bin = join(home, 'node_modules', '.bin', process.platform === 'win32' ? 'wan-video.cmd' : 'wan-video');
  expect((await run(bin, ['--help'], { cwd: tmpdir() })).stdout).toContain('generate');
});

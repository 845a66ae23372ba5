import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { command, onlyJson } from '../support/command.js';

const SAMPLE = fileURLToPath(new URL('../../assets/sample.jpg', import.meta.url));
let folder: string;
let temporal: Server;
let connections = 0;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wan-video-bad-input-'));
  await writeFile(join(folder, 'empty.jpg'), '');
  await writeFile(join(folder, 'notes.jpg'), 'these are notes');
  temporal = createServer(() => {
    connections += 1;
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => temporal.once('listening', resolve));
  const address = temporal.address() as { port: number };
  env = {
    TEMPORAL_ADDRESS: `127.0.0.1:${address.port}`,
    DASHSCOPE_API_KEY: 'sk-bad-input-0123456789',
    OUTPUT_DIR: join(folder, 'output'),
  };
});
afterAll(async () => {
  temporal.close();
  await rm(folder, { recursive: true, force: true });
});

const good = ['--prompt', 'a boat', '--image', SAMPLE];
const row = (flags: readonly string[], path: string, fault: RegExp) => ({ flags, path, fault });

test.each([
  row(['--image', SAMPLE], 'prompt', /is required/),
  row(['--prompt', '', '--image', SAMPLE], 'prompt', /is empty/),
  row(['--prompt', 'p'.repeat(1501), '--image', SAMPLE], 'prompt', /1501 characters/),
  row([...good, '--negative-prompt', 'n'.repeat(501)], 'negative_prompt', /501 characters/),
  row(['--prompt', 'a boat'], 'reference_image', /is required/),
  row(['--prompt', 'a boat', '--image', ''], 'reference_image', /is required/),
  row(['--prompt', 'a boat', '--image', 'no/such/file.jpg'], 'reference_image', /no\/such\/file\.jpg does not exist/),
  row(['--prompt', 'a boat', '--image', 'file:///no/such/file.jpg'], 'reference_image', /does not exist/),
  row(['--prompt', 'a boat', '--image', 'empty.jpg'], 'reference_image', /is empty/),
  row(['--prompt', 'a boat', '--image', 'notes.jpg'], 'reference_image', /use a JPEG, PNG, WEBP, TIFF/),
  row(['--prompt', 'a boat', '--image', '.'], 'reference_image', /is a folder/),
  row([...good, '--duration', '0'], 'duration', /from 2 to 15/),
  row([...good, '--duration', '16'], 'duration', /from 2 to 15/),
  row([...good, '--duration', '4.5'], 'duration', /whole number/),
  row([...good, '--duration', ''], 'duration', /must be a number/),
  row([...good, '--duration', '0x4'], 'duration', /must be a number/),
  row([...good, '--fps', 'fast'], 'fps', /must be a number/),
  row([...good, '--fps', '0'], 'fps', /from 1 to 120/),
  row([...good, '--size', '999*1'], 'size', /use one of 1280\*720/),
  row([...good, '--seed', '-1'], 'seed', /from 0 to 2147483647/),
  row([...good, '--seed', 'lucky'], 'seed', /must be a number/),
  row([...good, '--motion-strength', 'much'], 'motion_strength', /must be a number/),
  row([...good, '--cache', 'maybe'], 'cache', /use, refresh or off/),
  row([...good, '--tenant', ''], 'tenant', /must not be empty/),
  row([...good, '--label', 'team'], 'labels', /"team" is not NAME=VALUE/),
  row([...good, '--label', '=film'], 'labels', /is not NAME=VALUE/),
  row([...good, '--id', ' '], 'id', /1 to 900 bytes/),
  row([...good, '--output', 'no/such/folder/clip.mp4'], 'output', /does not exist/),
  row([...good, '--output', '-'], 'output', /must be a path/),
  row([...good, '--output', 'clip.mp4', '--detach'], 'output', /--detach does not wait/),
  row([...good, '--dry-run', '--detach'], 'detach', /--dry-run does not/),
  row([...good, '--deadline', '0'], 'deadline_seconds', /above 0/),
  row([...good, '--request', 'no-such.json'], 'request', /no-such\.json does not exist/),
])('generate $flags is refused with $path named, and nothing is sent', async ({ flags, path, fault }) => {
  const end = await command(['generate', ...flags, '--json'], { env, cwd: folder });
  expect(end.code).toBe(2);
  const { error } = onlyJson(end);
  expect(error['type']).toBe('InvalidRequest');
  const issues = error['issues'] as { path: string; message: string }[];
  expect(issues.find((issue) => issue.path === path)?.message).toMatch(fault);
  expect(connections).toBe(0);
});

test.each([
  { json: '{"prompt": "x",\n "fps": 24,}', path: 'request', fault: /line 2, column 12, expected a name/ },
  { json: '["prompt"]', path: 'request', fault: /is not one JSON object/ },
  { json: '"text"', path: 'request', fault: /is not one JSON object/ },
  { json: '{"prompt":"x","style":"noir"}', path: 'style', fault: /is not a field of videoGenerate/ },
  { json: '{"prompt":"x","model":"wan2.6-i2v"}', path: 'model', fault: /must be exactly wan2\.6-i2v-flash/ },
  { json: '{"prompt":"x","fps":"fast"}', path: 'fps', fault: /must be a number/ },
  { json: '{"prompt":"x","duration":4.5}', path: 'duration', fault: /whole number/ },
  { json: '{"prompt":7}', path: 'prompt', fault: /must be text/ },
  { json: '{"prompt":"x","labels":"team"}', path: 'labels', fault: /object of text values/ },
  { json: '{"prompt":"x","reference_image":7}', path: 'reference_image', fault: /must be text/ },
])('a request file with $json is refused with $path named', async ({ json, path, fault }) => {
  await writeFile(join(folder, 'request.json'), json);
  const image = json.includes('reference_image') ? [] : ['--image', SAMPLE];
  const end = await command(['generate', '--request', 'request.json', ...image, '--json'], { env, cwd: folder });
  expect(end.code).toBe(2);
  const issues = onlyJson(end).error['issues'] as { path: string; message: string }[];
  expect(issues).toHaveLength(1);
  expect(issues[0]).toEqual({ path, message: expect.stringMatching(fault) });
  expect(connections).toBe(0);
});

test('every fault of flags, file and image comes at once, each on a line of its own with its field', async () => {
  await writeFile(join(folder, 'request.json'), '{"style":"noir","fps":"fast"}');
  const flags = [
    '--request',
    'request.json',
    '--image',
    'empty.jpg',
    '--duration',
    '16',
    '--label',
    'x',
    '--seed',
    '-1',
  ];
  const { code, stdout, stderr } = await command(['generate', ...flags], { env, cwd: folder });
  expect(code).toBe(2);
  expect(stdout).toBe('');
  for (const field of ['labels', 'prompt', 'duration', 'fps', 'seed', 'style', 'reference_image']) {
    expect(stderr).toMatch(new RegExp(`^  ${field}: `, 'm'));
  }
  expect(stderr).toContain('Correct the named fields');
});

test('an image from a terminal instead of a pipe is refused instead of waited for', async () => {
  const stdin = Object.assign(new Readable({ read() {} }), { isTTY: true });
  const end = await command(['generate', '--prompt', 'x', '--image', '-', '--json'], { env, cwd: folder, stdin });
  expect(end.code).toBe(2);
  expect(end.stdout).toContain('is empty');
});

test('an endless image is given up after 20 MB', async () => {
  const stdin = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(1024 * 1024, 0xff);
    })(),
  );
  const end = await command(['generate', '--prompt', 'x', '--image', '-', '--json'], { env, cwd: folder, stdin });
  expect(end.code).toBe(2);
  expect(end.stdout).toContain('reference_image');
});

test.each([
  { args: ['generate', '--nope'], fault: /unknown option '--nope'/ },
  { args: ['generate', '--prompt'], fault: /argument missing/ },
  { args: ['generate', 'extra'], fault: /too many arguments/ },
  { args: ['render'], fault: /unknown command 'render'/ },
  { args: ['stage'], fault: /missing required argument 'file'/ },
  { args: ['status'], fault: /missing required argument 'id'/ },
  { args: ['list', '--limit', '0'], fault: /whole number from 1/ },
  { args: ['list', '--label', 'x'], fault: /is not NAME=VALUE/ },
  { args: ['list', '--outcome', 'fail'], fault: /Allowed choices are generated, .*needs_attention/ },
  { args: ['emulator', '--port', '70000'], fault: /from 0 to 65535/ },
  { args: ['emulator', '--speed', '0'], fault: /above 0/ },
  { args: [], fault: /a command is missing/ },
])('the usage $args is refused, in words and as JSON', async ({ args, fault }) => {
  const words = await command(args, { env });
  expect(words).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(fault) });
  // Commands without --json refuse it; the answer is JSON all the same.
  const json = await command([...args, '--json'], { env });
  expect(json).toMatchObject({ code: 2, stderr: '' });
  expect(onlyJson(json).error['type']).toBe('InvalidRequest');
  expect(connections).toBe(0);
});

test.each([
  [['generate', '--nope'], '--nope', 'See "wan-video help generate".'],
  [['list', '--limit', '0'], '--limit', 'See "wan-video help list".'],
  [['batch', 'nope'], '', 'See "wan-video help batch".'],
  [['batch', 'retry', 'spring', '--nope'], '--nope', 'See "wan-video batch help retry".'],
  [['render'], '', 'See "wan-video help" for the commands.'],
])('the wrong usage %j names %j as its path, and the help that shows the right one', async (args, path, help) => {
  expect(onlyJson(await command([...args, '--json'], { env })).error['issues']).toMatchObject([{ path }]);
  expect((await command(args, { env })).stderr).toContain(`\n${help}\n`);
});

test('wrong configuration is reported with every variable, and exits with 3', async () => {
  const wrong = { ...env, ASSET_STORE: 'ftp://x', WAN_VIDEO_QUERY_RATE: '-1' };
  const { code, stderr } = await command(['stage', SAMPLE], { env: wrong, cwd: folder });
  expect(code).toBe(3);
  expect(stderr).toMatch(/ASSET_STORE: must be/);
  expect(stderr).toMatch(/WAN_VIDEO_QUERY_RATE: must be/);
});

test('a Temporal profile that does not exist exits with 3 and names the variable', async () => {
  const { code, stderr } = await command(['list'], { env: { ...env, TEMPORAL_PROFILE: 'nowhere' } });
  expect(code).toBe(3);
  expect(stderr).toMatch(/'nowhere' not found.*\n.*TEMPORAL_PROFILE/);
});

test('stage refuses what is no image, and prints the reference of what is one', async () => {
  expect(await command(['stage', 'notes.jpg'], { env, cwd: folder })).toMatchObject({ code: 2, stdout: '' });
  const staged = await command(['stage', SAMPLE], { env, cwd: folder });
  expect(staged).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/^asset:references\/[0-9a-f]{64}\.jpg\n$/),
  });
  const json = onlyJson(await command(['stage', SAMPLE, '--json'], { env, cwd: folder }));
  expect(json).toMatchObject({ reference_image: staged.stdout.trim(), mime: 'image/jpeg', bytes: 26_093 });
});

test('refused images leave no temporary copy behind', async () => {
  const before = (await readdir(tmpdir())).filter((name) => name.startsWith('wan-video-image-'));
  await command(['generate', '--prompt', 'x', '--image', 'notes.jpg'], { env, cwd: folder });
  await command(['generate', '--image', SAMPLE], { env, cwd: folder });
  await command(['stage', 'empty.jpg'], { env, cwd: folder });
  const after = (await readdir(tmpdir())).filter((name) => name.startsWith('wan-video-image-'));
  expect(after.filter((name) => !before.includes(name))).toEqual([]);
});

test.each(['--help', 'generate --help', 'help worker'])('wan-video %s explains itself on stdout', async (line) => {
  const { code, stdout, stderr } = await command(line.split(' '));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: wan-video/);
});

test('a group of commands alone lists its own, and exits with 2', async () => {
  for (const group of ['batch', 'schedule', 'webhook']) {
    const end = await command([group]);
    expect(end).toMatchObject({ code: 2, stderr: expect.stringContaining(`Usage: wan-video ${group}`) });
  }
});

test('every command has an example and --json in its help', async () => {
  const { stdout } = await command(['--help']);
  const names = [...stdout.matchAll(/^ {2}([a-z]+) .*$/gm)]
    .map(([, name]) => name as string)
    .filter((name) => name !== 'help');
  expect(names).toEqual(expect.arrayContaining(['generate', 'worker', 'dev', 'emulator', 'stage', 'setup', 'status']));
  for (const name of names) {
    const { stdout: help } = await command(['help', name]);
    expect(help).toMatch(new RegExp(`Examples?:[^]*wan-video ${name}`));
    // A group of commands has it on each of them; two commands print what other programs read or write.
    if (!/^Commands:/m.test(help) && !['temporal', 'completion'].includes(name)) expect(help, name).toContain('--json');
  }
});

test.each([{ args: ['stage', SAMPLE] }, { args: ['generate', ...good] }, { args: ['generate', ...good, '--dry-run'] }])(
  '$args does not go into a local store with a Temporal on another machine',
  async ({ args }) => {
    const output = join(folder, 'remote');
    const remote = { ...env, OUTPUT_DIR: output, TEMPORAL_ADDRESS: 'temporal.invalid:7233' };
    const end = await command([...args, '--json'], { env: remote });
    expect(end.code).toBe(3);
    expect(onlyJson(end).error).toMatchObject({
      type: 'ConfigurationInvalid',
      billed: false,
      message: expect.stringContaining('Temporal at temporal.invalid:7233 can have workers on other machines'),
      next_step: expect.stringContaining('WAN_VIDEO_SHARED_FILE_STORE=1'),
    });
    await expect(readdir(output)).rejects.toThrow('ENOENT');
  },
);

test('a local store that every worker shares takes an image also with a Temporal on another machine', async () => {
  const shared = { ...env, TEMPORAL_ADDRESS: 'temporal.invalid:7233', WAN_VIDEO_SHARED_FILE_STORE: '1' };
  expect((await command(['stage', SAMPLE], { env: shared })).code).toBe(0);
});

test.each([
  ['DASHSCOPE_HTTP_BASE_URL', 'https://dashscope.aliyuncs.com/compatible-mode/v1', /must end with \/api\/v1/],
  ['DASHSCOPE_HTTP_BASE_URL', 'https://{WorkspaceId}.cn-beijing.maas.aliyuncs.com/api/v1', /\{WorkspaceId\}/],
  ['HTTPS_PROXY', 'socks5://proxy.example:1080', /SOCKS is not supported/],
  ['ALL_PROXY', 'http://proxy.example:3128', /is not used; set HTTPS_PROXY/],
])('a worker with %s=%s ends at startup, and connects to nothing', async (name, value, fault) => {
  const wrong = { ...env, DASHSCOPE_HTTP_BASE_URL: 'https://dashscope.aliyuncs.com/api/v1', [name]: value };
  const before = connections;
  const worker = await command(['worker'], { env: wrong });
  expect(worker.code).toBe(3);
  expect(worker.stderr).toMatch(fault);
  expect(worker.stderr).toContain(name);
  expect(connections).toBe(before);
});

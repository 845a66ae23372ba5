import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { SPOOL_BYTES_MIN } from '../../src/cli/doctor/check-store.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { COMPILE_TIMEOUT_MS } from '../support/compile-timeout.js';
import { documentedVariables } from './environment.js';
import { partIsMissing } from './parts.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly secrets?: readonly string[];
  readonly ports?: readonly string[];
  readonly profiles?: readonly string[];
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string; readonly restart?: boolean }>>;
  readonly stop_grace_period?: string;
  readonly tmpfs?: readonly string[];
  readonly network_mode?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

const COMPOSE = parse(read('docker-compose.yml'), { merge: true }) as Compose;
const services = Object.entries(COMPOSE.services);
const service = (name: string) => COMPOSE.services[name]!;

const ajv = new Ajv2020({ strict: false, allErrors: true });
for (const format of ['duration', 'ports', 'expose', 'subnet_ip_address']) ajv.addFormat(format, true);
const valid = ajv.compile(JSON.parse(read('test/support/compose-spec.json')) as object);

/** What the schema cannot see: names that lead nowhere, ports open to the network, images without a version. */
function composeFaults({ services, volumes, secrets }: Compose): string[] {
  return Object.entries(services).flatMap(([name, one]) => {
    const mounts = (one.volumes ?? []).map((mount) => mount.split(':')[0] ?? '');
    return [
      ...Object.keys(one.depends_on ?? {})
        .filter((other) => !(other in services))
        .map((other) => `depends on ${other}`),
      ...Object.entries(one.depends_on ?? {})
        .filter(([other, { condition }]) => condition === 'service_healthy' && !services[other]?.healthcheck?.test)
        .map(([other]) => `waits for the health of ${other}, which has no health check`),
      ...mounts
        .filter((mount) => !mount.startsWith('.') && !(mount in volumes))
        .map((mount) => `mounts the volume ${mount}`),
      ...mounts
        .filter((mount) => mount.startsWith('.') && !existsSync(join(ROOT, mount)))
        .map((mount) => `mounts ${mount}`),
      ...(one.secrets ?? []).filter((secret) => !(secret in secrets)).map((secret) => `uses the secret ${secret}`),
      ...(one.ports ?? []).filter((port) => !/^127\.0\.0\.1:\d+:\d+$/.test(port)).map((port) => `publishes ${port}`),
      ...(/:v?\d+\.\d+(\.\d+)?$/.test(one.image) ? [] : [`runs ${one.image}`]),
    ].map((fault) => `${name} ${fault}`);
  });
}

describe('docker-compose.yml', () => {
  test('follows the schema of the Compose Specification', () => {
    const withoutAnchors = parse(read('docker-compose.yml'), { merge: true }) as object;
    expect(valid(withoutAnchors), JSON.stringify(valid.errors, null, 1)).toBe(true);
  });

  test('breaks that schema with a misspelt key', () => {
    expect(valid({ services: { worker: { image: 'a:1.0', stop_grace_periode: '60s' } } })).toBe(false);
  });

  test('refers only to what exists, publishes on loopback only, and pins every image', () => {
    expect(composeFaults(COMPOSE)).toEqual([]);
  });

  test.each<[string, Partial<Service>]>([
    ['depends on nobody', { depends_on: { nobody: { condition: 'service_started' } } }],
    [
      'waits for the health of temporal-schema, which has no health check',
      { depends_on: { 'temporal-schema': { condition: 'service_healthy' } } },
    ],
    ['mounts the volume nowhere', { volumes: ['nowhere:/data'] }],
    ['mounts ./docker/none.sh', { volumes: ['./docker/none.sh:/none.sh:ro'] }],
    ['uses the secret none', { secrets: ['none'] }],
    ['publishes 5432:5432', { ports: ['5432:5432'] }],
    ['publishes 0.0.0.0:80:80', { ports: ['0.0.0.0:80:80'] }],
    ['runs postgres:latest', { image: 'postgres:latest' }],
    ['runs postgres', { image: 'postgres' }],
  ])('would be refused if a service %s', (fault, change) => {
    const broken = { ...COMPOSE, services: { ...COMPOSE.services, extra: { image: 'a:1.0', ...change } } };
    expect(composeFaults(broken)).toEqual([`extra ${fault}`]);
  });

  test('has PostgreSQL, Temporal with schema, namespace and search attributes, its UI, S3 with a bucket, the worker', () => {
    const byDefault = services.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name);
    expect(byDefault.sort()).toEqual([
      'postgres',
      's3',
      's3-bucket',
      'temporal',
      'temporal-namespace',
      'temporal-schema',
      'temporal-search-attributes',
      'temporal-ui',
      'worker',
    ]);
    expect(service('postgres').image).toMatch(/^postgres:16\./);
    expect(service('emulator').profiles).toEqual(['emulator']);
  });

  test('starts what runs for ever again and gives it a health check; a job ends', () => {
    const jobs = services.filter(([, { restart }]) => restart?.startsWith('on-failure:')).map(([name]) => name);
    expect(jobs.sort()).toEqual(['s3-bucket', 'temporal-namespace', 'temporal-schema', 'temporal-search-attributes']);
    for (const [name, one] of services.filter(([name]) => !jobs.includes(name))) {
      expect(one.restart, name).toBe('unless-stopped');
      // The worker's own is in the Dockerfile.
      if (name !== 'worker') expect(one.healthcheck?.test?.[0], name).toBe('CMD');
    }
    for (const job of jobs) {
      const waiting = services.flatMap(([, { depends_on }]) => (depends_on?.[job] ? [depends_on[job].condition] : []));
      expect(waiting, job).toEqual(['service_completed_successfully']);
    }
  });

  test('starts the worker after its server, its search attributes and its bucket are there', () => {
    const reached = new Set(['worker']);
    for (const name of reached) for (const other of Object.keys(service(name).depends_on ?? {})) reached.add(other);
    expect([...reached].sort()).toEqual(
      services
        .map(([name]) => name)
        .filter((name) => !['emulator', 'temporal-ui'].includes(name))
        .sort(),
    );
  });

  test('keeps secrets in files: no variable holds one', () => {
    const secret = /PASSWORD|PWD|SECRET|ACCESS_KEY|API_KEY/;
    const held = services.flatMap(([name, { environment = {} }]) =>
      Object.entries(environment)
        .filter(([variable, value]) => secret.test(variable) && !value.startsWith('/run/secrets/'))
        .map(([variable]) => `${name} ${variable}`),
    );
    expect(held).toEqual([]);
    for (const [name, { environment = {}, secrets = [] }] of services)
      for (const value of Object.values(environment))
        if (value.startsWith('/run/secrets/')) expect(secrets, name).toContain(value.slice('/run/secrets/'.length));
  });

  test("gives a worker's spool what doctor asks of it, with room for a file that is being written", () => {
    const [spool = ''] = service('worker').tmpfs ?? [];
    const mebibytes = Number(/:size=(\d+)m/.exec(spool)?.[1]);
    expect(mebibytes * 1024 ** 2).toBeGreaterThanOrEqual(SPOOL_BYTES_MIN + 64 * 1024 ** 2);
  });

  test('reads the very files that docker/make-secrets.sh makes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wan-video-secrets-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await run(
      'sh',
      [
        '-c',
        'mkdir secrets && cp "$0" . && DASHSCOPE_API_KEY=sk-given sh make-secrets.sh',
        join(ROOT, 'docker/make-secrets.sh'),
      ],
      { cwd: folder },
    );
    for (const [name, { file }] of Object.entries(COMPOSE.secrets)) {
      const path = /(?:\.\/docker\/)(secrets\/[a-z0-9-]+)\}?$/.exec(file)?.[1] ?? '';
      expect(readFileSync(join(folder, path), 'utf8'), name).not.toBe('');
    }
    const s3 = readFileSync(join(folder, 'secrets/s3-credentials'), 'utf8');
    expect(s3).toMatch(/^\[default\]\naws_access_key_id = [0-9a-f]{20}\naws_secret_access_key = [0-9a-f]{40}\n$/);
    await run('sh', ['make-secrets.sh'], { cwd: folder });
    expect(readFileSync(join(folder, 'secrets/s3-credentials'), 'utf8')).toBe(s3);
    expect(readFileSync(join(folder, 'secrets/dashscope-api-key'), 'utf8')).toBe('sk-given\n');
  });

  test('gives our containers only variables that the code or its libraries know', () => {
    const { own, libraries } = documentedVariables(ROOT);
    const ours = services.filter(([, { build }]) => build !== undefined);
    expect(ours.map(([name]) => name).sort()).toEqual([
      'emulator',
      's3-bucket',
      'temporal-search-attributes',
      'worker',
    ]);
    const used = ours.flatMap(([, { environment = {} }]) => Object.keys(environment));
    expect(used.filter((name) => ![...own, ...libraries].includes(name))).toEqual([]);
  });

  test('takes every other variable from worker.env, and signs addresses that this machine can open', () => {
    expect(service('worker')).toMatchObject({ env_file: [{ path: './worker.env', required: false }] });
    // What the file sets wins over worker.env: it fixes only where its own servers are.
    const fixed = Object.entries(service('worker').environment ?? {}).filter(([, value]) => !value.startsWith('${'));
    expect(fixed.map(([variable]) => variable).sort()).toEqual([
      'ASSET_STORE',
      'AWS_ENDPOINT_URL_S3',
      'AWS_REGION',
      'AWS_SHARED_CREDENTIALS_FILE',
      'DASHSCOPE_API_KEY_FILE_PATH',
      'TEMPORAL_ADDRESS',
      'TEMPORAL_NAMESPACE',
    ]);
    const endpoint = service('worker').environment?.['WAN_VIDEO_PRESIGN_ENDPOINT'] ?? '';
    const [published = ''] = service('s3').ports ?? [];
    expect(endpoint).toContain(`http://${published.split(':').slice(0, 2).join(':')}}`);
  });

  test('stops a container only after everything in it had its time', () => {
    const seconds = Number(/^(\d+)s$/.exec(service('worker').stop_grace_period ?? '')?.[1]);
    expect(seconds * 1000).toBe(DEFAULT_TIMES.containerStopMs);
    expect(seconds * 1000).toBeGreaterThan(DEFAULT_TIMES.submitForceMs);
  });

  test('runs our image, the S3 server and Temporal on a read-only root', () => {
    const writable = services.filter(([, one]) => one.read_only !== true).map(([name]) => name);
    expect(writable.sort()).toEqual(['postgres', 'temporal-ui']);
  });

  test('has the emulator where the worker may send its key in the clear: on its own loopback', () => {
    const variables = Object.fromEntries(
      read('docker/emulator.env')
        .split('\n')
        .filter((line) => /^\w/.test(line))
        .map((line) => line.split(/=(.*)/s) as [string, string]),
    );
    expect(service('emulator').network_mode).toBe('service:worker');
    expect(variables['COMPOSE_PROFILES']).toBe('emulator');
    const port = service('emulator').command?.at(-1);
    expect(variables['DASHSCOPE_HTTP_BASE_URL']).toBe(`http://127.0.0.1:${port}/api/v1`);
    expect(existsSync(join(ROOT, variables['DASHSCOPE_API_KEY_FILE'] ?? ''))).toBe(true);
    // The variables of that file must be ones that the compose file asks for.
    for (const name of ['DASHSCOPE_HTTP_BASE_URL', 'DASHSCOPE_API_KEY_FILE'])
      expect(read('docker-compose.yml')).toContain(`\${${name}:-`);
  });

  test('is described by docs/deploy.md: every service with its image, and every variable that it asks for', () => {
    const text = read('docs/deploy.md');
    for (const [name, { build, image }] of services)
      expect(text).toContain(`| \`${name}\` | ${build ? 'ours' : `\`${image}\``} |`);
    const variables = [...read('docker-compose.yml').matchAll(/\$\{([A-Z_]+)/g)].map((match) => match[1] ?? '');
    expect(variables.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
    const version = (JSON.parse(read('package.json')) as { version: string }).version;
    expect(service('worker').image).toBe(`wan-video-temporal:${version}`);
  });

  test('has scripts that a shell can read', () => {
    const scripts = services
      .flatMap(([, { volumes = [] }]) => volumes.map((mount) => mount.split(':')[0] ?? ''))
      .filter((path) => path.endsWith('.sh'));
    expect(scripts.length).toBeGreaterThan(0);
    for (const script of [...scripts, 'docker/make-secrets.sh', 'docker/try.sh']) {
      const { status, stderr } = spawnSync('sh', ['-n', join(ROOT, script)], { encoding: 'utf8' });
      expect(`${script} ${stderr}`).toBe(`${script} `);
      expect(status).toBe(0);
    }
  });

  test('loads in compose-go, with and without the emulator, and a faulty one does not', {
    timeout: COMPILE_TIMEOUT_MS,
  }, async ({ skip }) => {
    const folder = await mkdtemp(join(tmpdir(), 'wan-video-compose-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const binary = join(folder, 'compose-check');
    const build = () => run('go', ['build', '-o', binary, '.'], { cwd: join(ROOT, 'tools/compose-check') });
    // Without Go, or with a Go that cannot get the module, there is nothing to ask.
    const missing = await build().then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (missing !== undefined) {
      partIsMissing(
        'compose-go',
        `with Go, tools/compose-check loads the file as docker compose does (${missing.trim()})`,
      );
      return skip();
    }
    const check = (file: string, profiles = '') =>
      run(binary, [file], { env: { ...process.env, COMPOSE_PROFILES: profiles } });
    await check(join(ROOT, 'docker-compose.yml'));
    await check(join(ROOT, 'docker-compose.yml'), 'emulator');
    const faulty = join(folder, 'faulty.yml');
    await writeFile(faulty, 'services: { a: { image: "b:1", depends_on: [c] } }\n');
    await expect(check(faulty)).rejects.toThrow('undefined service');
  });
});

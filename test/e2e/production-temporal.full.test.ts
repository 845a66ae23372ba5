import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Certificates, certificatesMissing, makeCertificates } from '../support/certificates.js';
import { everyOutput, processOf } from '../support/command.js';
import { startWorkerProcess } from '../support/processes.js';
import { ROOT, type Stack, startStack } from '../support/stack.js';
import { startGrpcFront } from '../support/tls-front.js';

const API_KEY = 'cloud-key-0123456789';

const missing = certificatesMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)('a Temporal as it is in production', () => {
  let certificates: Certificates;
  let stack: Stack;
  let trust: Record<string, string>;
  beforeAll(async () => {
    certificates = await makeCertificates(['localhost']);
    stack = await startStack({ worker: false, settings: { speed: 100 }, attributes: false });
    trust = { TEMPORAL_TLS: 'true', TEMPORAL_TLS_SERVER_CA_CERT_PATH: certificates.authorityFile };
  });
  afterAll(async () => {
    await stack?.close();
    await certificates?.close();
  });

  const image = join(ROOT, 'assets', 'sample.jpg');
  const generate = (prompt: string, env: Record<string, string>) =>
    processOf(['generate', '--prompt', prompt, '--image', image, '--json'], {
      ...stack.env,
      HOME: stack.outputDir,
      ...env,
    });
  const temporalCheck = async (env: Record<string, string>) => {
    const { stdout } = await processOf(['doctor', '--json'], { ...stack.env, HOME: stack.outputDir, ...env });
    const { checks } = JSON.parse(stdout) as { checks: { name: string }[] };
    return checks.find(({ name }) => name === 'temporal');
  };

  test('a worker by environment and a command by profile sign in with a client certificate', async () => {
    const front = await startGrpcFront(stack.temporal.connection.address!, certificates, { clientCertificate: true });
    const address = `127.0.0.1:${front.port}`;
    const signIn = {
      TEMPORAL_TLS_CLIENT_CERT_PATH: certificates.client.certFile,
      TEMPORAL_TLS_CLIENT_KEY_PATH: certificates.client.keyFile,
    };
    const worker = await startWorkerProcess(stack, {}, { env: { ...trust, ...signIn, TEMPORAL_ADDRESS: address } });
    try {
      const file = join(stack.outputDir, 'temporal.toml');
      await writeFile(
        file,
        `[profile.prod]\naddress = "${address}"\nnamespace = "default"\n[profile.prod.tls]\n` +
          `client_cert_path = "${certificates.client.certFile}"\nclient_key_path = "${certificates.client.keyFile}"\n` +
          `server_ca_cert_path = "${certificates.authorityFile}"\n`,
      );
      const profile = { TEMPORAL_ADDRESS: '', TEMPORAL_CONFIG_FILE: file, TEMPORAL_PROFILE: 'prod' };
      const end = await generate('by certificate', profile);
      expect([end.code, end.stderr]).toEqual([0, expect.any(String)]);
      expect(JSON.parse(end.stdout)).toMatchObject({ source: 'generated' });
      expect(front.calls.count).toBeGreaterThan(5);
      expect(await temporalCheck({ ...trust, TEMPORAL_ADDRESS: address })).toMatchObject({
        status: 'fault',
        message: expect.stringMatching(/cannot be reached at .*CERTIFICATE_REQUIRED/),
        next_step: expect.stringContaining('TEMPORAL_TLS_CLIENT_CERT_PATH'),
      });
    } finally {
      await worker.end('SIGTERM');
      await front.close();
    }
  });

  test('worker and command sign in with an API key, a wrong one is refused by that reason, and nobody prints it', async () => {
    const front = await startGrpcFront(stack.temporal.connection.address!, certificates, {
      apiKeys: new Set([API_KEY]),
    });
    const cloud = { ...trust, TEMPORAL_ADDRESS: `127.0.0.1:${front.port}`, TEMPORAL_API_KEY: API_KEY };
    const worker = await startWorkerProcess(stack, {}, { env: cloud });
    try {
      const end = await generate('by key', cloud);
      expect([end.code, end.stderr]).toEqual([0, expect.any(String)]);
      expect(front.calls.refused).toBe(0);
      const wrong = await generate('by a wrong key', { ...cloud, TEMPORAL_API_KEY: 'another-key-9876543210' });
      expect([wrong.code, JSON.parse(wrong.stdout).error]).toMatchObject([
        3,
        {
          type: 'TemporalUnreachable',
          message: expect.stringMatching(/^Temporal at .* refuses the caller$/),
          next_step: expect.stringContaining('TEMPORAL_API_KEY'),
        },
      ]);
      for (const text of everyOutput)
        for (const key of [API_KEY, 'another-key-9876543210']) expect(text).not.toContain(key);
    } finally {
      await worker.end('SIGTERM');
      await front.close();
    }
  });

  test('where attributes may not be registered, setup and doctor print the lines for the administrator, and runs work', async () => {
    const denied = /OperatorService\/AddSearchAttributes$/;
    const front = await startGrpcFront(stack.temporal.connection.address!, certificates, { denied });
    const env = { ...trust, TEMPORAL_ADDRESS: `127.0.0.1:${front.port}` };
    const worker = await startWorkerProcess(stack, {}, { env });
    try {
      const own = /temporal operator search-attribute create --namespace default --name VideoTaskId --type Keyword/;
      const cloud = /tcld namespace search-attributes add --namespace default --search-attribute "VideoTaskId=Keyword"/;
      const all = { ...stack.env, HOME: stack.outputDir, ...env };
      const setup = await processOf(['setup'], all);
      expect(setup.code).toBe(3);
      expect(setup.stderr).toContain('This caller may not register search attributes in the namespace default');
      const doctor = await processOf(['doctor'], { ...all, DASHSCOPE_API_KEY: 'sk-any' });
      for (const text of [setup.stderr, doctor.stdout]) {
        expect(text).toMatch(own);
        expect(text).toMatch(cloud);
      }
      expect(doctor.stdout).toMatch(/^ok +sweep/m); // the schedule is made all the same
      const end = await generate('without attributes', env);
      expect([end.code, JSON.parse(end.stdout)]).toMatchObject([0, { source: 'generated' }]);
    } finally {
      await worker.end('SIGTERM');
      await front.close();
    }
  });
});

import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { SPOOL_BYTES_MIN } from '../../src/cli/doctor/check-store.js';
import { DEFAULT_TIMES } from '../../src/config/times.js';
import { findPython, PYTHON_PART } from '../support/python.js';
import { ROOT } from '../support/root.js';
import { documentedVariables } from './environment.js';
import { partIsMissing } from './parts.js';

const FOLDER = join(ROOT, 'deploy', 'kubernetes');
const FILES = readdirSync(FOLDER).filter((file) => file !== 'kustomization.yaml');
const read = (file: string) => readFileSync(join(FOLDER, file), 'utf8');
const of = <T>(file: string): T => parse(read(file)) as T;

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly volumes: readonly { readonly emptyDir?: { readonly sizeLimit: string } }[];
  readonly containers: readonly {
    readonly image: string;
    readonly args: readonly string[];
    readonly env?: readonly { readonly name: string }[];
    readonly ports: readonly { readonly containerPort: number }[];
    readonly [probe: string]: unknown;
  }[];
}
interface Workload {
  readonly spec: { readonly template: { readonly spec: Pod; readonly metadata: { readonly labels: object } } };
}

const PYTHON = await findPython('kubernetes_validate');
if (PYTHON === undefined) partIsMissing('kubernetes-validate', PYTHON_PART);
/** The oldest version that is supported now, and the newest whose schemas the validator has. */
const VERSIONS = ['1.32', '1.37'];
const VALIDATE = `
import sys, yaml, kubernetes_validate
for path in sys.argv[2:]:
    for document in yaml.safe_load_all(open(path)):
        kubernetes_validate.validate(document, sys.argv[1], strict=True)
`;

describe('deploy/kubernetes', () => {
  test.skipIf(PYTHON === undefined).each(VERSIONS)(
    'follows the schemas of Kubernetes %s, strictly',
    async (version) => {
      const paths = FILES.map((file) => join(FOLDER, file));
      await promisify(execFile)(PYTHON ?? '', ['-c', VALIDATE, version, ...paths]);

      const folder = await mkdtemp(join(tmpdir(), 'wan-video-kubernetes-'));
      onTestFinished(() => rm(folder, { recursive: true }));
      const faulty = join(folder, 'worker.yaml');
      await writeFile(faulty, read('worker.yaml').replace('readinessProbe:', 'readynessProbe:'));
      await expect(promisify(execFile)(PYTHON ?? '', ['-c', VALIDATE, version, faulty])).rejects.toThrow(
        /readynessProbe/,
      );
    },
  );

  test('applies every file, each with one resource', () => {
    const { resources } = of<{ resources: readonly string[] }>('kustomization.yaml');
    expect([...resources].sort()).toEqual([...FILES].sort());
  });

  test('gives the worker probes, the grace that a submit needs, and a spool as large as doctor asks', () => {
    const { spec, metadata } = of<Workload>('worker.yaml').spec.template;
    const [worker] = spec.containers;
    expect(spec.terminationGracePeriodSeconds * 1000).toBe(DEFAULT_TIMES.containerStopMs);
    const spool = spec.volumes.find(({ emptyDir }) => emptyDir !== undefined)?.emptyDir?.sizeLimit ?? '';
    expect(Number.parseInt(spool, 10) * 1024 ** 3).toBeGreaterThan(SPOOL_BYTES_MIN);
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) expect(worker).toHaveProperty(probe);
    const { data } = of<{ data: Record<string, string> }>('settings.yaml');
    expect(data['WAN_VIDEO_METRICS']).toBe(`0.0.0.0:${worker?.ports[0]?.containerPort}`);
    const budget = of<{ spec: { selector: { matchLabels: object } } }>('disruption.yaml');
    expect(metadata.labels).toMatchObject(budget.spec.selector.matchLabels);
    const { name } = of<{ metadata: { name: string } }>('worker.yaml').metadata;
    const scaling = of<{ spec: { scaleTargetRef: object; minReplicas: number } }>('autoscaling.yaml').spec;
    expect(scaling.scaleTargetRef).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', name });
    expect(scaling.minReplicas).toBeGreaterThan(1); // the disruption budget keeps one while a node is drained
  });

  test('runs the image of the compose file, with documented variables, and holds no secret', () => {
    const compose = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
      services: { worker: { image: string } };
    };
    const pods = ['worker.yaml', 'setup.yaml'].map((file) => of<Workload>(file).spec.template.spec.containers[0]);
    for (const pod of pods) expect(pod?.image).toBe(compose.services.worker.image);
    const { own, libraries } = documentedVariables(ROOT);
    const { data } = of<{ data: Record<string, string> }>('settings.yaml');
    const used = [...Object.keys(data), ...pods.flatMap((pod) => (pod?.env ?? []).map(({ name }) => name))];
    expect(used.filter((name) => ![...own, ...libraries].includes(name))).toEqual([]);
    expect(FILES.filter((file) => /kind: Secret\b|sk-/.test(read(file)))).toEqual([]);
  });
});

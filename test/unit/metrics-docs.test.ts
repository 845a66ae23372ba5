import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WorkerMetrics } from '../../src/metrics/worker-metrics.js';
import { metricsTable } from '../support/metrics.js';
import { ROOT } from '../support/root.js';

test("the table of docs/metrics.md names every metric of ours with its type and labels, in the code's words, and no other", async () => {
  const { registry } = new WorkerMetrics({ provider: 'emulator', account: 'default' });
  const real = (await registry.getMetricsAsJSON()).map(({ name, type }) => {
    const { labelNames } = registry.getSingleMetric(name) as unknown as { readonly labelNames: readonly string[] };
    return { name, type: String(type), labels: [...labelNames].sort() };
  });
  const documented = metricsTable(readFileSync(join(ROOT, 'docs', 'metrics.md'), 'utf8'));
  const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
  expect(documented.toSorted(byName)).toEqual(real.toSorted(byName));
});

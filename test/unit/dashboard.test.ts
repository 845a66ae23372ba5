import { parser } from '@prometheus-io/lezer-promql';
import { expect, test } from 'vitest';
import { WorkerMetrics } from '../../src/metrics/worker-metrics.js';
import { queriesOf, readDashboard } from '../support/dashboard.js';

const dashboard = readDashboard();
const { registry } = new WorkerMetrics({ provider: 'emulator', account: 'default' });

test('each query of the dashboard is PromQL over metrics and labels that a worker has', async () => {
  const known = new Map(
    (await registry.getMetricsAsJSON()).map(({ name, type }) => {
      const { labelNames } = registry.getSingleMetric(name) as unknown as { readonly labelNames: readonly string[] };
      return [String(type) === 'histogram' ? `${name}_bucket` : name, labelNames];
    }),
  );
  for (const { title, expr, legend } of queriesOf(dashboard)) {
    expect(expr, title).not.toContain('$');
    parser.parse(expr).iterate({
      enter: ({ type, from, to }) => expect(type.isError, `${title}: ${expr.slice(from, to)}`).toBe(false),
    });
    const [name = ''] = /\b(?:wan_video|temporal)_\w+/.exec(expr) ?? [];
    if (name.startsWith('temporal_')) continue;
    const labels = known.get(name);
    expect(labels, `${title}: ${name}`).toBeDefined();
    const used = [
      ...[...expr.matchAll(/(\w+)=~?"/g)].map(([, label]) => label),
      ...[...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label),
    ];
    for (const label of used) {
      expect([...(labels ?? []), 'provider', 'account', 'instance', 'le'], `${title}: ${label}`).toContain(label);
    }
  }
});

test('the dashboard shows every metric of ours but those that only explain another', () => {
  const text = JSON.stringify(dashboard);
  const shown = registry.getMetricsAsArray().map(({ name }) => name);
  expect(shown.filter((name) => !text.includes(name)).sort()).toEqual([
    'wan_video_archived_bytes_total',
    'wan_video_messages_ignored_total',
    'wan_video_not_created_total',
    'wan_video_slots_timestamp_seconds',
  ]);
});

test('every panel asks the data source that a person chooses, so that Grafana names it when it is missing', () => {
  const [first] = dashboard.templating.list;
  expect(first).toMatchObject({ type: 'datasource', name: 'datasource' });
  const uids = dashboard.panels.filter(({ type }) => type !== 'row').map(({ datasource }) => datasource?.uid);
  expect(new Set(uids)).toEqual(new Set([`\${${first?.name}}`]));
});

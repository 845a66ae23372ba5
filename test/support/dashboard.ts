import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './root.js';

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

/** The dashboard, as Grafana imports it. */
export interface Dashboard {
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly panels: readonly Panel[];
}

export const readDashboard = (): Dashboard =>
  JSON.parse(readFileSync(join(ROOT, 'docs', 'grafana', 'wan-video.json'), 'utf8')) as Dashboard;

/** Each query of the dashboard as Grafana sends it for all accounts. */
export const queriesOf = ({ panels }: Dashboard): { title: string; expr: string; legend: string }[] =>
  panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat: legend }) => {
      const values = {
        $__rate_interval: '1m',
        $provider: '.*',
        $account: '.*',
        $price_720p: '0.15',
        $price_1080p: '0.25',
      };
      return {
        title,
        legend,
        expr: Object.entries(values).reduce((text, [name, v]) => text.replaceAll(name, v), expr),
      };
    }),
  );

import { DISTURBANCES, type Expected, LEFT_OUT, PROVIDER_CELLS, PROVIDER_FAULTS, STEPS, type Step } from './cells.js';
import { DRIFT_CELLS, DRIFT_KINDS } from './drift-cells.js';
import { HOSTILE_CELLS, HOSTILE_KINDS } from './hostile-cells.js';

/** The fault matrix as Markdown, generated from the cells that the tests run. */
export function matrixTable(): string {
  const rows = [
    ...Object.entries(PROVIDER_FAULTS).map(([fault, { title }]) => ({
      title,
      cell: (step: Step) => merged(PROVIDER_CELLS.filter((one) => one.fault === fault && one.step === step)),
    })),
    ...Object.entries(DRIFT_KINDS).map(([kind, { title }]) => ({
      title: `drift: ${title}`,
      cell: (step: Step) => merged(DRIFT_CELLS.filter((one) => one.fault === kind && one.step === step)),
    })),
    ...Object.entries(HOSTILE_KINDS).map(([kind, { title }]) => ({
      title: `hostile: ${title}`,
      cell: (step: Step) => merged(HOSTILE_CELLS.filter((one) => one.fault === kind && one.step === step)),
    })),
    ...DISTURBANCES.map(({ title, expected }) => ({
      title,
      cell: (step: Step) => (expected[step] === undefined ? '–' : textOf(expected[step])),
    })),
  ];
  return [
    `| fault | ${STEPS.join(' | ')} |`,
    `|---|${STEPS.map(() => '---').join('|')}|`,
    ...rows.map(({ title, cell }) => `| ${title} | ${STEPS.map(cell).join(' | ')} |`),
  ].join('\n');
}

/** What the matrix leaves out, and why, as a Markdown list. */
export function leftOutList(): string {
  const requests = Object.entries(PROVIDER_FAULTS).flatMap(([, { title, without }]) =>
    Object.entries(reasons(without ?? {})).map(([why, on]) => `- ${title} × ${on.join(', ')}: ${why}.`),
  );
  return [...LEFT_OUT.map(({ what, why }) => `- ${what}: ${why}.`), ...requests].join('\n');
}

/** `tasks · billed seconds · end`. */
function textOf({ tasks, billedSeconds, end }: Expected): string {
  const type = end.startsWith('failed ') ? ` \`${end.slice('failed '.length)}\`` : '';
  return `${tasks} · ${billedSeconds} s · ${END[end.split(' ')[0] ?? '']}${type}`;
}

const END: Readonly<Record<string, string>> = { completed: 'done', cancelled: 'cancelled', failed: 'failed' };

function merged(cells: readonly { readonly expected: Expected }[]): string {
  const texts = [...new Set(cells.map(({ expected }) => textOf(expected)))];
  return texts.length === 0 ? '–' : texts.join('; ');
}

/** Requests by the reason for which they are left out. */
function reasons(without: Readonly<Record<string, string>>): Record<string, string[]> {
  const by: Record<string, string[]> = {};
  for (const [on, why] of Object.entries(without)) by[why] = [...(by[why] ?? []), on];
  return by;
}

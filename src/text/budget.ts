import type { BudgetReached } from '../contract/budget.js';

/** A budget's name for people: `day`, `tenant film, per day`, `batch spring`. */
export function budgetName({ scope, name }: Pick<BudgetReached, 'scope' | 'name'>): string {
  if (scope === 'day') return 'day';
  if (scope === 'batch') return `batch ${name}`;
  return name === null ? 'no tenant, per day' : `tenant ${name}, per day`;
}

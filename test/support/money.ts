import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stack } from './stack.js';

/** A video of a stack's request, four silent seconds at 720P, costs 0.40. */
export const PRICES = {
  currency: 'CNY',
  per_second: { '720P': { silent: 0.1, sound: 0.2 }, '1080P': { silent: 0.3, sound: 0.6 } },
};

/** Writes the price list of a stack and the budgets of an account; the paths that a configuration would name. */
export async function moneyOf(
  { outputDir }: Stack,
  name: string,
  budgets: unknown,
): Promise<{ readonly pricesFile: string; readonly budgetsFile: string }> {
  const pricesFile = join(outputDir, 'prices.json');
  const budgetsFile = join(outputDir, `${name}.json`);
  await Promise.all([writeFile(pricesFile, JSON.stringify(PRICES)), writeFile(budgetsFile, JSON.stringify(budgets))]);
  return { pricesFile, budgetsFile };
}

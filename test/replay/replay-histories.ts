import { Worker } from '@temporalio/worker';
import { expect } from 'vitest';
import { workflowIdOf } from './history-facts.js';
import { readHistory } from './history-file.js';

/** Replays histories against workflow code, and resolves the errors by history. */
export async function replay(workflowCode: string, which: readonly string[]): Promise<Record<string, unknown>> {
  // Under their own ids: a run compares its id with that of a purchase's buyer.
  const pathById = new Map(which.map((path) => [workflowIdOf(readHistory(path)), path]));
  expect(pathById.size).toBe(which.length);
  const histories = [...pathById].map(([workflowId, path]) => ({ workflowId, history: readHistory(path) as unknown }));
  const faults: Record<string, unknown> = {};
  const results = Worker.runReplayHistories({ workflowBundle: { code: workflowCode } }, histories);
  for await (const { workflowId, error } of results) {
    if (error !== undefined) faults[pathById.get(workflowId) ?? workflowId] = error;
  }
  return faults;
}

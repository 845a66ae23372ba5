/** Status of a task, as the provider's API writes it. */
export type EmulatorTaskStatus = 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';

export const TASK_STATUSES: readonly EmulatorTaskStatus[] = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED'];
